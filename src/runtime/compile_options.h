// What a compilation is told besides the program: devices, partitioner, XLA flags.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

class PjrtError;

struct CompileOptions {
  // The devices of the program in the order of its mesh, by Device::id. Their number is that of the partitions, and the
  // order in which shards are fed to Executable::execute_sharded.
  std::vector<int> device_ids = {0};
  // Shardy (`sdy` dialect) or, when false, GSPMD (`mhlo.sharding`) reads the shardings.
  bool shardy = true;
  // XLA flags for this compilation only, without dashes: {"xla_cpu_enable_fast_math", "true"}. XLA parses the values.
  // An unknown name is an error of the compilation, while in XLA_FLAGS it would end the process.
  std::map<std::string, std::string> xla_flags;
};

// The bytes of XLA's CompileOptionsProto, the same for equal options.
std::string encode(const CompileOptions& options);

// Reads "--xla_a=true --xla_b=2 --xla_c" (the spelling of XLA_FLAGS; a flag without a value is "true"). Throws
// ConfigError.
std::map<std::string, std::string> parse_xla_flags(std::string_view flags);

// Throws ConfigError, which names the key, when the error of a compilation is about its XLA flags.
void blame_xla_flags(const PjrtError& error, const CompileOptions& options);

}  // namespace fathom
