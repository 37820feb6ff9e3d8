// What the compiler made of a program: for a live client (inside an Executable) or for a topology without devices.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "runtime/plugin.h"

struct PJRT_Executable;

namespace fathom {

// Bytes on one device.
struct MemoryStats {
  int64_t argument = 0;
  int64_t output = 0;
  // Part of `argument` whose memory results take over: what donation achieved.
  int64_t alias = 0;
  int64_t temp = 0;
  int64_t generated_code = 0;
  // The most in use at once, all of the above included, as the plugin counts it; 0 where it does not.
  int64_t peak = 0;
};

// Move-only. Thread-safe.
class CompiledProgram {
 public:
  // Takes over `handle`; `owner` is what must outlive it (the client or topology).
  CompiledProgram(const Plugin& plugin, PJRT_Executable* handle, std::shared_ptr<const void> owner);
  CompiledProgram(CompiledProgram&& other) noexcept;
  CompiledProgram& operator=(CompiledProgram&& other) noexcept;
  ~CompiledProgram();

  MemoryStats memory_stats() const;
  // "flops", "bytes accessed", ...: XLA's own estimates for one device; the body of a loop seems to count once. Empty
  // where the plugin has none.
  std::map<std::string, double> cost_analysis() const;
  int64_t num_outputs() const;
  int64_t num_partitions() const;
  // XLA's HloModuleProto of what it made of the text: fused, laid out, scheduled.
  std::string optimized_program() const;
  // For Executable::deserialize with the same plugin on a machine with the same devices.
  std::string serialize() const;

 private:
  void destroy() noexcept;

  const Plugin* plugin_;
  PJRT_Executable* handle_;
  std::shared_ptr<const void> owner_;
};

}  // namespace fathom
