#include "drive/memory_check.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"

namespace fathom {
namespace {

double machine_memory() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace

void require_state_memory(const Config& config, const StateSpec& state, const Session& session) {
  if (config.hardware == Hardware::kCpu) {
    double bytes = static_cast<double>(state.bytes());
    double memory = machine_memory();
    if (bytes <= memory) return;
    throw ConfigError(
        fmt::format("model_name={}: parameters and optimizer state take {:.1f} GB, this machine has {:.1f} GB; take a "
                    "smaller model, or weight_dtype=bfloat16",
                    config.model_name, bytes * 1e-9, memory * 1e-9));
  }
  double bytes = static_cast<double>(state.bytes_of_a_device());
  std::optional<int64_t> limit = session.client()->memory_limit(*session.client()->addressable_devices().front());
  if (!limit || bytes <= static_cast<double>(*limit)) return;
  throw ConfigError(fmt::format(
      "model_name={}: parameters and optimizer state take {:.1f} GB of each device, which has {:.1f} GB for "
      "this process; take a smaller model, weight_dtype=bfloat16, or more devices (ici_fsdp_parallelism)"
      "{}",
      config.model_name, bytes * 1e-9, static_cast<double>(*limit) * 1e-9,
      config.hardware == Hardware::kGpu ? "; XLA_PYTHON_CLIENT_MEM_FRACTION sets the part of a GPU that is taken"
                                        : ""));
}

void require_work_space(const Config& config, const MemoryStats& step, int64_t devices) {
  if (config.hardware != Hardware::kCpu) return;
  double state = static_cast<double>(step.argument + step.output - step.alias) * static_cast<double>(devices);
  double work = static_cast<double>(step.temp) * static_cast<double>(devices);
  if (state + work <= machine_memory()) return;
  throw ConfigError(fmt::format(
      "per_device_batch_size={} max_target_length={}: a step takes {:.1f} GB beside {:.1f} GB of state and batch, this "
      "machine has {:.1f} GB; take fewer or shorter rows{}",
      config.per_device_batch_size, config.max_target_length, work * 1e-9, state * 1e-9, machine_memory() * 1e-9,
      config.remat ? "" : ", or remat_policy=full"));
}

}  // namespace fathom
