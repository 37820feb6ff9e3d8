#include "drive/same_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "config/resolve/model_key_names.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

// Beside the model's own.
constexpr std::string_view kKeys[] = {"opt_type", "adamw_mask", "trainable_parameters_mask"};

bool decides(std::string_view key) {
  const auto has = [&](std::span<const std::string_view> keys) { return std::ranges::find(keys, key) != keys.end(); };
  return has(kKeys) || has(model_key_names());
}

}  // namespace

std::vector<std::string> keys_of_another_run(const std::string& saved_config, const Config& config,
                                             const std::string& path) {
  const std::map<std::string, std::string> there = yaml_values(saved_config), here = yaml_values(to_yaml(config));
  if (!there.contains("opt_type")) throw FormatError(path, "not the configuration of a run");
  std::vector<std::string> out, others;
  for (const auto& [key, value] : here) {
    const auto before = there.find(key);
    if (before == there.end() || before->second == value) continue;
    (decides(key) ? out : others).push_back(fmt::format("{} is {} here and {} there", key, value, before->second));
  }
  if (out.empty() && !others.empty()) {
    log_once(LogLevel::kInfo, fmt::format("{}: other values than in the checkpoint: {}", path, listed(others, 6)));
  }
  return out;
}

}  // namespace fathom
