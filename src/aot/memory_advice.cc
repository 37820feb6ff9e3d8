#include "aot/memory_advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <vector>

#include "base/remat_names.h"
#include "base/units.h"
#include "runtime/machines.h"

namespace fathom {
namespace {

// The share of the memory that is left to the state when the number of devices is reckoned; the rest is for
// activations. A rule of thumb: of deepseek3-671b on v5p-256 the state is 0.66 of what a step needs
// (docs/performance.md).
constexpr double kShareOfState = 0.7;
constexpr int64_t kShortest = 128;  // no shorter sequences are proposed

int64_t next_power_of_two(double x) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::ceil(x)))); }

std::vector<std::string> smaller_state(const MemoryNeed& need, const Config& c) {
  std::vector<std::string> out;
  if (c.weight_dtype == DType::kF32) out.emplace_back("weight_dtype=bfloat16");
  if (c.mu_dtype == DType::kF32) out.emplace_back("mu_dtype=bfloat16");
  const double spread = static_cast<double>(need.held.whole) / static_cast<double>(need.devices);
  const double room = kShareOfState * static_cast<double>(need.available);
  const bool uneven = static_cast<double>(need.held.device) > 1.5 * spread;
  if (uneven && spread < room) {
    out.emplace_back("ici_fsdp_parallelism=-1 with the other ici_* keys 1, which splits the state over all devices");
  } else if (spread >= room) {
    out.push_back(fmt::format("a machine of about {} devices (compile_topology, ici_fsdp_parallelism)",
                              next_power_of_two(static_cast<double>(need.held.whole) / room)));
  }
  return out;
}

// Each row over several devices, as many as the memory for its activations has too little room for, where fsdp can give
// them: the devices that hold the state stay as many. Empty where it cannot.
std::string split_rows(double factor, const MemoryNeed& need, const Config& c) {
  const int64_t parts = next_power_of_two(1 / factor);
  const int64_t fsdp = c.ici_fsdp_parallelism;
  if (parts < 2 || fsdp % parts != 0 || c.max_target_length % (parts * c.ici_context_parallelism) != 0) return "";
  const double rows = c.per_device_batch_size / static_cast<double>(parts);
  if (rows * static_cast<double>(need.devices) < 1) return "";
  return fmt::format(
      "ici_context_parallelism={} ici_fsdp_parallelism={} per_device_batch_size={} (each row over {} devices)",
      parts * c.ici_context_parallelism, fsdp / parts, rows, parts * c.ici_context_parallelism);
}

// A layer's input is [tokens d], and is kept of every layer. Empty where it is in the host's memory, or is too little.
std::string offloaded_inputs(const MemoryNeed& need, const Config& c) {
  const bool there = c.remat_policy == RematPolicy::kCustom && c.decoder_layer_input == RematChoice::kOffload;
  const std::optional<Machine> machine =
      find_machine(c.compile_topology, std::max<int64_t>(c.compile_topology_num_slices, 1));
  if (there || !c.remat || !machine || machine->hardware != Hardware::kTpu) return "";
  const double kept = static_cast<double>(c.num_decoder_layers * c.max_target_length * c.emb_dim *
                                          static_cast<int64_t>(byte_size(c.dtype))) *
                      c.per_device_batch_size;
  if (need.needed == 0 || kept < static_cast<double>(need.needed - need.available)) return "";
  return "remat_policy=custom decoder_layer_input=offload";
}

// Whether a layer keeps more than its input on the device.
bool keeps_more(const Config& c) {
  return !c.remat || std::any_of(c.remat_saved.begin(), c.remat_saved.end(),
                                 [](const std::string& name) { return !name.ends_with(kOnHost); });
}

// `factor`: the part of the activations' memory that there is room for.
std::vector<std::string> smaller_activations(double factor, ProgramKind kind, const MemoryNeed& need, const Config& c) {
  std::vector<std::string> out;
  if (kind == ProgramKind::kInit) return out;  // it has none
  bool eval = kind == ProgramKind::kEval;
  if (kind == ProgramKind::kTrain) {
    for (const std::string& keys : {offloaded_inputs(need, c), split_rows(factor, need, c)}) {
      if (!keys.empty()) out.push_back(keys);
    }
  }
  double rows = std::floor((eval ? c.eval_per_device_batch_size : c.per_device_batch_size) * factor);
  if (rows >= 1) out.push_back(fmt::format("{}per_device_batch_size={}", eval ? "eval_" : "", rows));
  auto length = static_cast<int64_t>(static_cast<double>(c.max_target_length) * factor) / kShortest * kShortest;
  if (length >= kShortest && length < c.max_target_length) out.push_back(fmt::format("max_target_length={}", length));
  if (kind == ProgramKind::kTrain && keeps_more(c)) out.emplace_back("remat_policy=full");
  if (c.dtype == DType::kF32) out.emplace_back("dtype=bfloat16");
  if (out.empty()) out.emplace_back("a larger ici_tensor_parallelism or ici_context_parallelism on more devices");
  return out;
}

std::string_view what_is_held(ProgramKind kind) {
  if (kind == ProgramKind::kInit) return "parameters and moments";
  if (kind == ProgramKind::kEval) return "parameters and batch";
  if (kind == ProgramKind::kForward) return "parameters, batch and logits";
  if (decodes(kind)) return "parameters and cache";
  return "parameters, moments and batch";
}

}  // namespace

std::string memory_advice(const MemoryNeed& need, ProgramKind kind, const Config& config) {
  bool known = need.needed > 0;
  std::string out = known ? fmt::format("{} a device too much", gigabytes(need.needed - need.available))
                          : std::string("the compiler does not say by how much");
  out += fmt::format(": {} take {}", what_is_held(kind), gigabytes(need.held.device));
  std::vector<std::string> keys;
  if (need.held.device < need.available) {
    int64_t rest = need.needed - need.held.device;
    if (known) out += fmt::format(", activations and work space {}", gigabytes(rest));
    double room = static_cast<double>(need.available - need.held.device);
    keys = smaller_activations(known ? room / static_cast<double>(rest) : 0.5, kind, need, config);
  }
  for (std::string& key : smaller_state(need, config)) keys.push_back(std::move(key));
  if (keys.empty()) keys.emplace_back("a machine of more devices");
  return out + fmt::format("; would make it fit: {}", fmt::join(keys, ", or "));
}

}  // namespace fathom
