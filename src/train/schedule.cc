#include "train/schedule.h"

#include <algorithm>
#include <numbers>

namespace fathom {
namespace {

// From 1 at progress 0 to `final_fraction` at progress 1; `progress` is an f32 scalar.
Value cosine_decay(Value progress, double final_fraction) {
  Value a = (cos(progress * std::numbers::pi) + 1.0) * 0.5;
  return a + (1.0 - a) * final_fraction;
}

}  // namespace

Value learning_rate(const Schedule& schedule, Value step) {
  int64_t total = schedule.steps;
  int64_t warmup = static_cast<int64_t>(static_cast<double>(total) * schedule.warmup_fraction);
  bool wsd = schedule.type == "wsd";
  int64_t decay = wsd ? static_cast<int64_t>(static_cast<double>(total) * schedule.wsd_decay_fraction) : total - warmup;
  int64_t decay_from = total - decay;

  Value s = convert(step, DType::kF32);
  // A decay of D steps takes D - 1 from its first to its last value; one of a single step gives the last value.
  double span = static_cast<double>(std::max<int64_t>(decay - 1, 1));
  Value since = s - static_cast<double>(decay_from) + (decay == 1 ? 1.0 : 0.0);
  Value progress = clamp(0.0, since / span, 1.0);
  bool linear = wsd && schedule.wsd_decay_style == "linear";
  Value factor =
      linear ? 1.0 - progress * (1.0 - schedule.final_fraction) : cosine_decay(progress, schedule.final_fraction);
  if (warmup > 0) factor = select(less(step, warmup), s / static_cast<double>(warmup), factor);
  return select(less(step, total), factor * schedule.peak, 0.0);
}

}  // namespace fathom
