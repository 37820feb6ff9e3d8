// How the processes of one job find each other: from keys, or from what the cluster puts into the environment.
#pragma once

#include "config/resolve/derive.h"

namespace fathom {

// Fills config.coordination. Only GPU runs need it: TPU plugins coordinate by themselves, and the CPU plugins have no
// collectives between processes. For each value the first of these counts: the key, JAX's variables, those of the
// peer's GPU launchers, SLURM's, Open MPI's. Adds a problem where only a part is known.
void derive_coordination(Config& config, const DeriveInput& input, std::vector<std::string>& notices,
                         Problems& problems);

}  // namespace fathom
