// The learning-rate schedule, as part of the program: a function of the step counter.
#pragma once

#include <cstdint>
#include <string>

#include "graph/ops.h"

namespace fathom {

struct Schedule {
  double peak = 3e-5;
  int64_t steps = 0;             // T: the whole schedule; the rate is 0 afterwards
  double warmup_fraction = 0.1;  // W = int(T * fraction) steps of linear warm-up from 0
  double final_fraction = 0.1;   // the last rate, as a fraction of the peak
  std::string type = "cosine";   // cosine, or wsd: warm-up, constant, decay
  double wsd_decay_fraction = 0.1;
  std::string wsd_decay_style = "linear";  // linear or cosine
};

// The rate of the step with counter `step` (s32 scalar, first step 0); f32 scalar.
Value learning_rate(const Schedule& schedule, Value step);

}  // namespace fathom
