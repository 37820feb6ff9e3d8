#include "drive/memory_check.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/machine.h"
#include "base/units.h"

namespace fathom {

void require_state_memory(const Config& config, const StateSpec& state, const Session& session) {
  if (config.hardware == Hardware::kCpu) {
    if (state.bytes() <= machine_memory_bytes()) return;
    throw ConfigError(
        fmt::format("model_name={}: parameters and optimizer state take {}, this machine has {}; take a smaller model, "
                    "or weight_dtype=bfloat16",
                    config.model_name, gigabytes(state.bytes()), gigabytes(machine_memory_bytes())));
  }
  int64_t bytes = state.bytes_of_a_device();
  std::optional<int64_t> limit = session.client()->memory_limit(*session.client()->addressable_devices().front());
  if (!limit || bytes <= *limit) return;
  throw ConfigError(fmt::format(
      "model_name={}: parameters and optimizer state take {} of each device, which has {} for this process; take a "
      "smaller model, weight_dtype=bfloat16, or more devices (ici_fsdp_parallelism){}",
      config.model_name, gigabytes(bytes), gigabytes(*limit),
      config.hardware == Hardware::kGpu ? "; XLA_PYTHON_CLIENT_MEM_FRACTION sets the part of a GPU that is taken"
                                        : ""));
}

void require_work_space(const Config& config, const MemoryStats& step, int64_t devices) {
  if (config.hardware != Hardware::kCpu) return;
  int64_t state = (step.argument + step.output - step.alias) * devices;
  int64_t work = step.temp * devices;
  if (state + work <= machine_memory_bytes()) return;
  throw ConfigError(
      fmt::format("per_device_batch_size={} max_target_length={}: a step takes {} beside {} of state and batch, this "
                  "machine has {}; "
                  "take fewer or shorter rows{}",
                  config.per_device_batch_size, config.max_target_length, gigabytes(work), gigabytes(state),
                  gigabytes(machine_memory_bytes()), config.remat ? "" : ", or remat_policy=full"));
}

}  // namespace fathom
