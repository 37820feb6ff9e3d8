#include "drive/memory_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/batch_fields.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/units.h"

namespace fathom {
namespace {

// A save copies this process's part of the state into the machine's memory.
void require_copy_memory(const Config& config, const StateSpec& state, const Session& session) {
  const auto devices = std::ssize(session.assignment()->addressable());
  const int64_t copy = std::min(state.bytes_of_a_device() * devices, state.bytes());
  if (config.enable_checkpointing && copy > machine_memory_bytes()) {
    throw ConfigError(fmt::format(
        "enable_checkpointing: a save takes a copy of this process's part of the state, {}, and this machine has {}; "
        "take more machines, or enable_checkpointing=false",
        gigabytes(copy), gigabytes(machine_memory_bytes())));
  }
}

}  // namespace

void require_state_memory(const Config& config, const StateSpec& state, const Session& session) {
  if (config.hardware == Hardware::kCpu) {
    const int64_t memory = machine_memory_bytes();
    const bool copied = config.enable_checkpointing && config.async_checkpointing;
    const int64_t needed = state.bytes() * (copied ? 2 : 1);
    if (needed <= memory) return;
    throw ConfigError(fmt::format(
        "model_name={}: parameters and optimizer state{} take {}, this machine has {}; take a smaller model, {}"
        "weight_dtype=bfloat16",
        config.model_name, copied ? " and their copy for a checkpoint" : "", gigabytes(needed), gigabytes(memory),
        copied ? "async_checkpointing=false, which needs no copy, or " : "or "));
  }
  int64_t bytes = state.bytes_of_a_device();
  std::optional<int64_t> limit = session.client()->memory_limit(*session.client()->addressable_devices().front());
  if (!limit || bytes <= *limit) return require_copy_memory(config, state, session);
  throw ConfigError(fmt::format(
      "model_name={}: parameters and optimizer state take {} of each device, which has {} for this process; take a "
      "smaller model, weight_dtype=bfloat16, or more devices (ici_fsdp_parallelism){}",
      config.model_name, gigabytes(bytes), gigabytes(*limit),
      config.hardware == Hardware::kGpu ? "; XLA_PYTHON_CLIENT_MEM_FRACTION sets the part of a GPU that is taken"
                                        : ""));
}

void require_batch_memory(const Config& config, const BatchSizes& rows, const Session& session) {
  constexpr double kBatches = 2;  // one is trained on, one is read ahead
  // Of 32 bits each; the rows of this process alone. In doubles, which do not overflow.
  const double tokens = static_cast<double>(rows.to_load) * static_cast<double>(config.max_target_length) /
                        static_cast<double>(session.client()->process_count());
  double bytes = tokens * kBatches * 4 * static_cast<double>(BatchFields<int>::fields().size());
  // A micro-batch's logits and every layer's input lie there as well.
  if (config.hardware == Hardware::kCpu) {
    bytes += static_cast<double>(rows.micro) * static_cast<double>(config.max_target_length) *
             (static_cast<double>(config.vocab_size) +
              static_cast<double>(config.num_decoder_layers) * static_cast<double>(config.emb_dim)) *
             static_cast<double>(byte_size(config.dtype));
  }
  if (bytes <= static_cast<double>(machine_memory_bytes())) return;
  throw ConfigError(fmt::format(
      "per_device_batch_size={} gradient_accumulation_steps={} max_target_length={}: the batches and what a step keeps "
      "of them take {} at least, this machine has {}; take fewer or shorter rows",
      config.per_device_batch_size, config.gradient_accumulation_steps, config.max_target_length,
      gigabytes(static_cast<int64_t>(bytes)), gigabytes(machine_memory_bytes())));
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
