#include "drive/step_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/listed.h"

namespace fathom {
namespace {

constexpr size_t kListed = 8;  // names that an error lists

std::vector<std::string> not_finite(const ArraySquares& squares) {
  std::vector<std::string> out;
  for (const auto& [name, x] : squares) {
    if (!std::isfinite(x)) out.push_back(name);
  }
  return out;
}

}  // namespace

LaunchedStep::LaunchedStep(int64_t step, const Signature& signature, const NamedArrays& results,
                           std::function<void(Clock::time_point)> on_done)
    : step_(step), signature_(&signature), done_(std::make_shared<std::promise<Clock::time_point>>()) {
  for (const auto& [name, array] : results) copies_.emplace(name, array.first_shard_async());
  copies_.at("scalars").done.on_ready([done = done_, on_done = std::move(on_done)](const auto&) {
    const Clock::time_point now = Clock::now();
    on_done(now);
    done->set_value(now);
  });
}

StepReport LaunchedStep::wait() {
  for (auto& [name, copy] : copies_) copy.done.await();
  const Clock::time_point seen = Clock::now();
  auto numbers = [&](std::string_view name) {
    return named_scalars(*signature_, name, copies_.find(name)->second.array);
  };
  auto squares = [&](std::string_view name) {
    return listed_scalars(*signature_, name, copies_.find(name)->second.array);
  };
  StepReport out{.done = std::min(done_->get_future().get(), seen),
                 .targets = copies_.at("targets").array.view<int32_t>()[0],
                 .scalars = numbers("scalars"),
                 .gradient_squares = squares("gradient_squares"),
                 .parameter_squares = squares("parameter_squares")};
  if (auto load = copies_.find("expert_load"); load != copies_.end()) {
    const auto counts = load->second.array.view<int32_t>();
    out.expert_load.assign(counts.begin(), counts.end());
  }
  out.stop = static_cast<int>(out.scalars.extract("stop").mapped());
  for (auto& [name, x] : out.scalars) {
    // The sign of a NaN means nothing and would be printed.
    if (std::isnan(x)) x = std::numeric_limits<float>::quiet_NaN();
  }
  double norm = 0;
  for (const auto& [name, square] : out.parameter_squares) norm += static_cast<double>(square);
  out.scalars["param_norm"] = static_cast<float>(std::sqrt(norm));
  return out;
}

void fail_not_finite(int64_t step, const StepReport& report, const ArraySquares& squares_before) {
  std::vector<std::string> parameters = not_finite(squares_before);
  std::vector<std::string> gradients = not_finite(report.gradient_squares);
  std::string what =
      "all parameters were finite before this step, but no gradient is named: the forward pass overflowed";
  if (!parameters.empty()) {
    what = "parameters that were not finite, or too large to square, before this step: " + listed(parameters, kListed);
  } else if (!gradients.empty()) {
    what = "all parameters were finite before this step; gradients that are not: " + listed(gradients, kListed);
  }
  throw RuntimeFault(
      fmt::format("step {}: the loss is {}; {}. Lower learning_rate, or check the data and the weights loaded "
                  "(abort_on_nan_loss=false goes on)",
                  step, report.scalars.at("loss"), what));
}

}  // namespace fathom
