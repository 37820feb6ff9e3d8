#include "mesh/batch_sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fathom {
namespace {

// Whole rows of `per_device` x devices; the peer trains on int(devices x value) rows when that is a fraction of a row
// a device, and a product that is not whole is a mistake.
int64_t rows(double per_device, int64_t devices, std::string_view key) {
  double product = per_device * static_cast<double>(devices);
  int64_t whole = std::llround(product);
  if (whole < 1 || std::abs(product - static_cast<double>(whole)) > 1e-6) {
    throw ConfigError(fmt::format("{}={} x {} devices = {} rows: must be a whole number of at least 1", key, per_device,
                                  devices, product));
  }
  return whole;
}

// Tokens are counted in 32 bits. The product is taken in doubles, which do not overflow.
void check_tokens(const Config& config, int64_t devices) {
  constexpr double kMostTokens = 2147483647;
  const double length = static_cast<double>(config.max_target_length);
  const double accumulated = static_cast<double>(config.gradient_accumulation_steps);
  const double tokens = config.per_device_batch_size * static_cast<double>(devices) * accumulated * length;
  const double eval = config.eval_per_device_batch_size * static_cast<double>(devices) * length;
  if (tokens > kMostTokens) {
    throw ConfigError(fmt::format(
        "per_device_batch_size={} x {} devices x gradient_accumulation_steps={} x max_target_length={} = {:.4g} tokens "
        "a step: must be at most {}",
        config.per_device_batch_size, devices, config.gradient_accumulation_steps, config.max_target_length, tokens,
        kMostTokens));
  }
  if (eval > kMostTokens) {
    throw ConfigError(
        fmt::format("eval_per_device_batch_size={} x {} devices x max_target_length={} = {:.4g} tokens an evaluation "
                    "step: must be at most {}",
                    config.eval_per_device_batch_size, devices, config.max_target_length, eval, kMostTokens));
  }
}

// The mesh axes that split an axis of an activation, and what they come to.
struct Split {
  std::vector<std::string> axes;
  int64_t parts = 1;
  std::string spelled;  // "data=2 x fsdp=4"
};

// By the first rule of that name; `taken` are split over already.
Split split_of(std::string_view logical, const Config& config, const DeviceMesh& mesh,
               const std::vector<std::string>& taken) {
  Split out;
  const auto rule = std::ranges::find(config.logical_axis_rules, logical, &AxisRule::logical);
  if (rule == config.logical_axis_rules.end()) return out;
  auto holds = [](const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  for (const Axis& axis : mesh.mesh.axes) {
    if (!holds(rule->mesh_axes, axis.name) || holds(taken, axis.name)) continue;
    out.axes.push_back(axis.name);
    out.parts *= axis.size;
    out.spelled += fmt::format("{}{}={}", out.spelled.empty() ? "" : " x ", axis.name, axis.size);
  }
  return out;
}

}  // namespace

BatchSizes resolve_batch(const Config& config, int64_t devices) {
  BatchSizes out;
  check_tokens(config, devices);
  out.micro = rows(config.per_device_batch_size, devices, "per_device_batch_size");
  out.to_train = out.micro * config.gradient_accumulation_steps;
  out.to_load = out.to_train;
  out.eval = rows(config.eval_per_device_batch_size, devices, "eval_per_device_batch_size");
  return out;
}

void check_batch_split(const Config& config, const DeviceMesh& mesh) {
  const int64_t rows = resolve_batch(config, mesh.devices()).micro;
  const Split split = split_of("activation_batch", config, mesh, {});
  if (rows % split.parts == 0) return;
  throw ConfigError(fmt::format("per_device_batch_size={} x {} devices = {} rows cannot be split over {}",
                                config.per_device_batch_size, mesh.devices(), rows, split.spelled));
}

void check_length_split(const Config& config, const DeviceMesh& mesh) {
  // Rows are split first (graph/partition.cc).
  const Split split = split_of("activation_length", config, mesh, split_of("activation_batch", config, mesh, {}).axes);
  const int64_t length = config.max_target_length, over = length % split.parts;
  if (over == 0) return;
  const std::string below = length > split.parts ? fmt::format("{} or ", length - over) : "";
  throw ConfigError(
      fmt::format("max_target_length={} cannot be split over {}: it must be a multiple of {}, such as {}{}", length,
                  split.spelled, split.parts, below, length - over + split.parts));
}

}  // namespace fathom
