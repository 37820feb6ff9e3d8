#include "program/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "base/error.h"

namespace fathom {
namespace {

std::vector<std::regex> compile(std::string_view key, const std::vector<std::string>& expressions) {
  std::vector<std::regex> out;
  for (const std::string& e : expressions) {
    try {
      out.emplace_back(e);
    } catch (const std::regex_error& error) {
      throw ConfigError(fmt::format("{}: '{}' is no regular expression: {}", key, e, error.what()));
    }
  }
  return out;
}

bool any_matches(const std::vector<std::regex>& expressions, const std::string& path) {
  return std::any_of(expressions.begin(), expressions.end(), [&](const auto& e) { return std::regex_search(path, e); });
}

}  // namespace

StateLayout state_layout(const Config& config, const Mesh& mesh) {
  StateLayout out{.model = model_config(config)};
  out.table = param_table(out.model);
  out.arrays = param_arrays(out.model, out.table);
  if (mesh.devices() > 1) out.partition = std::make_shared<Partition>(mesh, config.logical_axis_rules);
  for (const ParamArray& a : out.arrays) {
    out.shardings.push_back(out.partition ? out.partition->of(a.logical, a.type.shape, a.name) : Sharding{});
  }
  std::vector<std::regex> trainable = compile("trainable_parameters_mask", config.trainable_parameters_mask);
  std::vector<std::regex> undecayed = compile("adamw_mask", config.adamw_mask);
  for (size_t i = 0; i < out.arrays.size(); ++i) {
    const Param& p = out.param(out.arrays[i]);
    std::string path = p.peer;
    std::replace(path.begin(), path.end(), '.', '/');
    if (!p.trained || (!trainable.empty() && !any_matches(trainable, path))) continue;
    out.trained.push_back(i);
    out.decayed.push_back(!any_matches(undecayed, path));
  }
  if (out.trained.empty()) throw ConfigError("trainable_parameters_mask: no parameter of the model matches");
  return out;
}

}  // namespace fathom
