// The kinds of machine that a program runs on, and how they are spelled: in keys, texts and file names alike.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace fathom {

enum class Hardware : uint8_t { kCpu, kTpu, kGpu };

// "cpu", "tpu", "gpu": the names in the order of the enumeration.
std::span<const std::string_view> hardware_names();
std::string_view name(Hardware hardware);
// The inverse of name(); nothing for another word.
std::optional<Hardware> parse_hardware(std::string_view word);

}  // namespace fathom
