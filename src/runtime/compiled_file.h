// A compiled program as a file of its own: what `train_compile` writes and `train` takes instead of compiling.
#pragma once

#include <string>
#include <string_view>

#include "runtime/executable.h"
#include "runtime/topology.h"

namespace fathom {

// What a compiled program is for; it runs where all four are the same.
struct CompiledFor {
  std::string program;  // hash of the StableHLO text
  std::string plugin;   // its API and compiler versions
  std::string machine;  // platform, number and kind of devices; for CPUs the processor too
  std::string kernels;  // version of the kernels' call interface; empty where the platform has none
};

CompiledFor compiled_for(std::string_view text, const Topology& topology, std::string kernels);
CompiledFor compiled_for(std::string_view text, const Client& client, std::string kernels);

// Writes the file whole or not at all. Throws RuntimeFault, or PjrtError when the plugin cannot serialise programs.
void write_compiled_file(const std::string& path, const CompiledProgram& program, const CompiledFor& made_for);

// Loads the file for this client. Throws ConfigError when it is missing, damaged or was made for something else, saying
// what differs, and PjrtError when the plugin refuses it.
Executable load_compiled_file(const std::string& path, const std::shared_ptr<const Client>& client,
                              const CompiledFor& wanted, const CompileOptions& options);

}  // namespace fathom
