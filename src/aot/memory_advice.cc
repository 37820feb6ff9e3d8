#include "aot/memory_advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/units.h"

namespace fathom {
namespace {

// Shares of the memory that are left to the state when the number of devices is reckoned: the rest is for activations.
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

// `factor`: the part of the activations' memory that there is room for.
std::vector<std::string> smaller_activations(double factor, ProgramKind kind, const Config& c) {
  std::vector<std::string> out;
  if (kind == ProgramKind::kInit) return out;  // it has none
  bool eval = kind == ProgramKind::kEval;
  double rows = std::floor((eval ? c.eval_per_device_batch_size : c.per_device_batch_size) * factor);
  if (rows >= 1) out.push_back(fmt::format("{}per_device_batch_size={}", eval ? "eval_" : "", rows));
  auto length = static_cast<int64_t>(static_cast<double>(c.max_target_length) * factor) / kShortest * kShortest;
  if (length >= kShortest && length < c.max_target_length) out.push_back(fmt::format("max_target_length={}", length));
  if (kind == ProgramKind::kTrain && (!c.remat || !c.remat_saved.empty())) out.emplace_back("remat_policy=full");
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
    keys = smaller_activations(known ? room / static_cast<double>(rest) : 0.5, kind, config);
  }
  for (std::string& key : smaller_state(need, config)) keys.push_back(std::move(key));
  if (keys.empty()) keys.emplace_back("a machine of more devices");
  return out + fmt::format("; would make it fit: {}", fmt::join(keys, ", or "));
}

}  // namespace fathom
