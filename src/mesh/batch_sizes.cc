#include "mesh/batch_sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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
  int64_t rows = resolve_batch(config, mesh.devices()).micro;
  for (const AxisRule& rule : config.logical_axis_rules) {
    if (rule.logical != "activation_batch") continue;
    int64_t parts = 1;
    std::string over;
    for (const Axis& axis : mesh.mesh.axes) {
      if (std::find(rule.mesh_axes.begin(), rule.mesh_axes.end(), axis.name) == rule.mesh_axes.end()) continue;
      parts *= axis.size;
      over += fmt::format("{}{}={}", over.empty() ? "" : " x ", axis.name, axis.size);
    }
    if (rows % parts == 0) return;
    throw ConfigError(fmt::format("per_device_batch_size={} x {} devices = {} rows cannot be split over {}",
                                  config.per_device_batch_size, mesh.devices(), rows, over));
  }
}

}  // namespace fathom
