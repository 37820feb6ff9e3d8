// Where the time of a train step goes, measured on the machine that trains.
#pragma once

#include "drive/train_loop.h"
#include "profile/profile.h"

namespace fathom {

// Runs `trainer` to its end (the key `steps`) and samples all steps but the first `warm_up`. Throws ConfigError where
// there is nothing to sample: on another device than the CPU, or when the data ends before.
Profile profile_train(Trainer& trainer, int64_t warm_up);

}  // namespace fathom
