#include "program/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <stdexcept>

#include "base/device_bytes.h"
#include "base/error.h"
#include "train/adamw.h"

namespace fathom {
namespace {

std::vector<std::regex> compile(const std::vector<std::string>& expressions) {
  return {expressions.begin(), expressions.end()};
}

bool any_matches(const std::vector<std::regex>& expressions, const std::string& path) {
  return std::any_of(expressions.begin(), expressions.end(), [&](const auto& e) { return std::regex_search(path, e); });
}

// The parameters as the masks divide them.
void add_parameters(StateSpec& spec, const Config& config) {
  std::vector<std::regex> trainable = compile(config.trainable_parameters_mask);
  std::vector<std::regex> undecayed = compile(config.adamw_mask);
  for (size_t i = 0; i < spec.arrays.size(); ++i) {
    const ParamArray& a = spec.arrays[i];
    const Param& row = spec.table[a.row];
    std::string path = row.peer;
    std::replace(path.begin(), path.end(), '.', '/');
    StateEntry entry{.name = "params." + a.name, .type = a.type, .logical = a.logical, .array = i};
    if (spec.partition) entry.sharding = spec.partition->of(a.logical, a.type.shape, a.name);
    bool chosen = trainable.empty() || any_matches(trainable, path);
    entry.role = !row.trained ? StateRole::kMovedByRule : chosen ? StateRole::kTrained : StateRole::kFrozen;
    entry.decayed = entry.role == StateRole::kTrained && !any_matches(undecayed, path);
    spec.entries.push_back(std::move(entry));
  }
  if (spec.with_role(StateRole::kTrained).empty()) {
    throw ConfigError("trainable_parameters_mask: no parameter of the model matches");
  }
}

void add_moments(StateSpec& spec, const Config& config) {
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (const Moment& moment : adamw_moments(config)) {
    for (size_t i : trained) {
      StateEntry entry = spec.entries[i];
      entry.name = fmt::format("{}.{}", moment.name, spec.array_name(entry));
      entry.role = StateRole::kMoment;
      entry.type.dtype = moment.dtype.value_or(entry.type.dtype);
      entry.decayed = false;
      spec.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace

StateSpec state_spec(const Config& config, const Mesh& mesh) {
  StateSpec spec{.model = model_config(config)};
  spec.table = param_table(spec.model);
  spec.arrays = param_arrays(spec.model, spec.table);
  if (mesh.devices() > 1) spec.partition = std::make_shared<Partition>(mesh, config.logical_axis_rules);
  add_parameters(spec, config);
  add_moments(spec, config);
  spec.entries.push_back({.name = "step", .role = StateRole::kCounter, .type = {DType::kS32, {}}});
  for (size_t i = 0; i < spec.entries.size(); ++i) spec.index_of.emplace(spec.entries[i].name, i);
  return spec;
}

std::vector<size_t> StateSpec::parameters() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].is_parameter()) out.push_back(i);
  }
  return out;
}

std::vector<size_t> StateSpec::with_role(StateRole role) const {
  std::vector<size_t> out;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].role == role) out.push_back(i);
  }
  return out;
}

size_t StateSpec::index(std::string_view name) const {
  auto it = index_of.find(name);
  if (it == index_of.end()) throw std::logic_error("the state has no entry " + std::string(name));
  return it->second;
}

size_t StateSpec::moment(std::string_view moment, size_t parameter) const {
  return index(fmt::format("{}.{}", moment, array_name(entries[parameter])));
}

int64_t StateSpec::bytes_of_a_device(const StateChoice& choice) const {
  const Mesh mesh = partition ? partition->mesh() : Mesh{};
  int64_t bytes = 0;
  for (const StateEntry& e : entries) {
    if (choice(e)) bytes += device_bytes(e.type, e.sharding, mesh);
  }
  return bytes;
}

int64_t StateSpec::bytes() const {
  int64_t bytes = 0;
  for (const StateEntry& e : entries) bytes += e.type.bytes();
  return bytes;
}

}  // namespace fathom
