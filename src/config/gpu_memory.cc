#include "config/gpu_memory.h"

#include <algorithm>
#include <charconv>

namespace fathom {
namespace {

constexpr std::string_view kFraction = "XLA_PYTHON_CLIENT_MEM_FRACTION";
constexpr std::string_view kPreallocate = "XLA_PYTHON_CLIENT_PREALLOCATE";
constexpr std::string_view kAllocator = "XLA_PYTHON_CLIENT_ALLOCATOR";
// The names that the CUDA plugin takes.
constexpr std::string_view kAllocators[] = {"default", "platform", "bfc", "cuda_async"};

std::string text(const DeriveInput& input, std::string_view variable) {
  auto found = input.environment.find(std::string(variable));
  return found == input.environment.end() ? "" : found->second;
}

void read_fraction(const std::string& value, GpuMemory& memory, Problems& problems) {
  float fraction = 0;
  const char* end = value.data() + value.size();
  auto [stop, error] = std::from_chars(value.data(), end, fraction);
  if (error != std::errc() || stop != end || !(fraction > 0)) {
    problems.add("{}={}: must be a number above 0, such as 0.9: the part of the GPU's memory to take", kFraction,
                 value);
    return;
  }
  memory.fraction = fraction;
}

void read_preallocate(std::string value, GpuMemory& memory, Problems& problems) {
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::tolower(c); });
  if (value == "true" || value == "1") {
    memory.preallocate = true;
  } else if (value == "false" || value == "0") {
    memory.preallocate = false;
  } else {
    problems.add("{}={}: must be true or false", kPreallocate, value);
  }
}

}  // namespace

void derive_gpu_memory(Config& config, const DeriveInput& input, Problems& problems) {
  config.gpu_memory = {};
  if (config.hardware != Hardware::kGpu) return;
  if (std::string value = text(input, kFraction); !value.empty()) read_fraction(value, config.gpu_memory, problems);
  if (std::string value = text(input, kPreallocate); !value.empty()) {
    read_preallocate(value, config.gpu_memory, problems);
  }
  std::string allocator = text(input, kAllocator);
  if (allocator.empty()) return;
  if (std::find(std::begin(kAllocators), std::end(kAllocators), allocator) == std::end(kAllocators)) {
    problems.add("{}={}: must be default, platform, bfc or cuda_async", kAllocator, allocator);
  }
  config.gpu_memory.allocator = allocator;
}

}  // namespace fathom
