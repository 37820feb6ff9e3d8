// The flags that every converter takes.
#pragma once

#include "cli/command_line.h"
#include "convert/conversion.h"

namespace fathom {

inline constexpr FlagSpec kThreadsFlag = {"threads", "N", "threads to use, as many as there are cores unless given"};
inline constexpr FlagSpec kCompressionFlag = {"compression", "zstd|none",
                                              "of what is written; safetensors are never compressed"};

// Throws ConfigError for a value that is none of theirs.
ConversionOptions conversion_options(const CommandLine& line);

}  // namespace fathom
