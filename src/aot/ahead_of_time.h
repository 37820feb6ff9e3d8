// Programs compiled for a machine that is not here: what they need of it, without running anything.
#pragma once

#include <memory>
#include <string>

#include "aot/staged_program.h"
#include "runtime/compile_options.h"
#include "runtime/compiled_program.h"
#include "runtime/machines.h"
#include "runtime/topology.h"

namespace fathom {

// What the compiler says of a program. Sizes are bytes on one device.
struct Verdict {
  std::shared_ptr<const CompiledProgram> program;  // null where it does not fit
  MemoryStats memory;                              // zero where it does not fit
  int64_t needed = 0;                              // 0 where the compiler refuses without a figure
  int64_t available = 0;                           // 0 where nothing says so
  std::string refusal;                             // the compiler's words where it does not fit
  double seconds = 0;

  bool fits() const { return program != nullptr && (available == 0 || needed <= available); }
};

// For a topology. `available` is the memory of a device where the plugin does not say it; 0 stands for unknown.
// Throws RuntimeFault when the compiler does not reuse the memory that the program donates.
Verdict compile_ahead(const std::shared_ptr<const Topology>& topology, const StagedProgram& program,
                      const std::string& xla_flags, int64_t available);
// The same for the devices of a live client that `options` names.
Verdict compile_ahead(const std::shared_ptr<const Client>& client, const StagedProgram& program,
                      const CompileOptions& options, int64_t available);

// The topology of a machine, from its hardware's plugin (`plugin` as the key of that name). Throws ConfigError when no
// plugin is installed.
std::shared_ptr<const Topology> topology_of(const Machine& machine, const std::string& plugin);

// Bytes that a refusal for lack of memory names, in the words of libtpu and of XLA's GPU compiler; zeros where it does
// not.
struct MemoryFigures {
  int64_t needed = 0, available = 0;
};
MemoryFigures figures_of(const std::string& refusal);

}  // namespace fathom
