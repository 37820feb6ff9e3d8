// The train step compiled for a machine that is not here: what it needs of that machine, without running anything.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "graph/emit/emit.h"
#include "mesh/device_mesh.h"
#include "runtime/compiled_program.h"
#include "runtime/machines.h"
#include "runtime/topology.h"

namespace fathom {

// The train step as text.
struct StagedStep {
  DeviceMesh mesh;
  Signature signature;
  std::string text;
  double seconds = 0;
};

// The step that `train` runs on so many devices; a live client of the same target gets the same bytes. Throws
// ConfigError where the mesh or the batch does not suit the number of devices.
StagedStep stage_train_step(const Config& config, int64_t devices, int64_t slices, const Target& target);

// What the compiler says of it. Sizes are bytes on one device.
struct CompiledStep {
  std::shared_ptr<const CompiledProgram> program;  // null where it does not fit
  MemoryStats memory;                              // zero where it does not fit
  int64_t arguments = 0;                           // parameters, moments, batch, as the signature has them
  int64_t needed = 0;                              // 0 where the compiler refuses without a figure
  int64_t available = 0;                           // 0 where nothing says so
  std::string refusal;                             // the compiler's words where it does not fit
  double seconds = 0;

  bool fits() const { return program != nullptr && (available == 0 || needed <= available); }
};

// For a topology. `available` counts where the plugin does not say how much memory a device has; 0 stands for unknown.
CompiledStep compile_step(const std::shared_ptr<const Topology>& topology, const StagedStep& step,
                          const std::string& xla_flags, int64_t available);
// For a live client, and all of its devices.
CompiledStep compile_step(const std::shared_ptr<const Client>& client, const StagedStep& step,
                          const std::string& xla_flags, int64_t available);

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
