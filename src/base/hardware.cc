#include "base/hardware.h"

#include <algorithm>

namespace fathom {
namespace {

constexpr std::string_view kNames[] = {"cpu", "tpu", "gpu"};

}  // namespace

std::span<const std::string_view> hardware_names() { return kNames; }

std::string_view name(Hardware hardware) { return kNames[static_cast<size_t>(hardware)]; }

std::optional<Hardware> parse_hardware(std::string_view word) {
  const auto* found = std::find(std::begin(kNames), std::end(kNames), word);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<Hardware>(found - std::begin(kNames));
}

}  // namespace fathom
