#include "session/gpu_memory.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace fathom {
namespace {

constexpr const char* kFraction = "XLA_PYTHON_CLIENT_MEM_FRACTION";
constexpr const char* kPreallocate = "XLA_PYTHON_CLIENT_PREALLOCATE";
constexpr const char* kAllocator = "XLA_PYTHON_CLIENT_ALLOCATOR";
// The names that the CUDA plugin takes.
constexpr std::string_view kAllocators[] = {"default", "platform", "bfc", "cuda_async"};

std::optional<float> fraction(const std::string& value, Problems& problems) {
  float out = 0;
  const char* end = value.data() + value.size();
  auto [stop, error] = std::from_chars(value.data(), end, out);
  if (error == std::errc() && stop == end && out > 0) return out;
  problems.add("{}={}: must be a number above 0, such as 0.9: the part of the GPU's memory to take", kFraction, value);
  return std::nullopt;
}

std::optional<bool> truth(std::string value, Problems& problems) {
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::tolower(c); });
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  problems.add("{}={}: must be true or false", kPreallocate, value);
  return std::nullopt;
}

}  // namespace

NamedValues gpu_memory_options(Hardware hardware, const Environment& environment, Problems& problems) {
  NamedValues out;
  if (hardware != Hardware::kGpu) return out;
  if (std::string value = variable(environment, kFraction); !value.empty()) {
    if (auto part = fraction(value, problems)) out["memory_fraction"] = *part;
  }
  if (std::string value = variable(environment, kPreallocate); !value.empty()) {
    if (auto at_once = truth(value, problems)) out["preallocate"] = *at_once;
  }
  if (std::string value = variable(environment, kAllocator); !value.empty()) {
    out["allocator"] = value;
    if (std::find(std::begin(kAllocators), std::end(kAllocators), value) == std::end(kAllocators)) {
      problems.add("{}={}: must be default, platform, bfc or cuda_async", kAllocator, value);
    }
  }
  return out;
}

void check_gpu_memory(const Config& config, const Environment& environment, Problems& problems) {
  gpu_memory_options(config.hardware, environment, problems);
}

}  // namespace fathom
