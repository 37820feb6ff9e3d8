// How the processes of one job find each other: from keys, or from what the cluster puts into the environment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/environment.h"
#include "config/config.h"
#include "net/socket.h"

namespace fathom {

// The processes of one job and this one among them.
struct Coordination {
  SocketAddress address;  // of process 0's store; without a host there is nobody to talk to
  SocketAddress bind;     // where process 0 listens
  int64_t process_count = 1;
  int64_t process_index = 0;
  std::string job;                     // the same in all processes of the job
  std::string secret;                  // what every process of the job knows; empty: nothing is asked
  std::vector<int64_t> local_devices;  // devices of this machine that are this process's; empty: all that it sees
};

// Only GPU runs need it: TPU plugins coordinate by themselves, and the CPU plugins have no collectives between
// processes. For each value the first of these counts: the key, JAX's variables, those of the peer's GPU launchers,
// SLURM's, Open MPI's. Throws ConfigError with a line for each mistake, also where only a part is known; adds a notice
// for what has no effect.
Coordination resolve_coordination(const Config& config, const Environment& environment,
                                  std::vector<std::string>& notices);

}  // namespace fathom
