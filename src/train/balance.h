// Balance of the experts without a loss (V3 report, section 2.1.2): the rule that moves the router's bias, and what a
// step says of the load.
#pragma once

#include "model/values_by_name.h"

namespace fathom {

// bias [.. e] f32 of one layer or of a stack, load [.. e] s32: tokens that chose each expert. bias + rate * sign(mean
// load - load), and as it was for exactly the mean.
Value moved_bias(Value bias, Value load, double rate);

// Scalars of a step (metrics/step_scalars.h) from LossSums::loads.
ValuesByName load_scalars(const ValuesByName& loads);

}  // namespace fathom
