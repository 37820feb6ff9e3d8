// How many rows a step takes: a function of the configuration and the number of devices.
#pragma once

#include <cstdint>

#include "mesh/device_mesh.h"

namespace fathom {

// Rows of max_target_length tokens, over all devices.
struct BatchSizes {
  int64_t to_load = 0;   // rows a step reads, all micro-batches together
  int64_t micro = 0;     // rows of one forward pass
  int64_t to_train = 0;  // micro x gradient_accumulation_steps
  int64_t eval = 0;      // rows of one evaluation step
};

// Throws ConfigError when per_device_batch_size x devices is not a whole number of rows, or a step has more tokens than
// are counted.
BatchSizes resolve_batch(const Config& config, int64_t devices);

// Throws ConfigError when the rows of a micro-batch cannot be split over the mesh axes that the sharding table gives
// them (the rule activation_batch).
void check_batch_split(const Config& config, const DeviceMesh& mesh);

// The same of max_target_length and the mesh axes that split the sequence (the rule activation_length), for programs
// whose rows have that length.
void check_length_split(const Config& config, const DeviceMesh& mesh);

}  // namespace fathom
