// A live runtime as a configuration asks for it: plugin, client, kernels, compile cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "graph/emit/emit.h"
#include "job/job.h"
#include "mesh/device_mesh.h"
#include "runtime/compile_cache.h"
#include "runtime/executable.h"
#include "runtime/sharded_array.h"

namespace fathom {

// A program compiled for a session.
struct Compiled {
  Executable executable;
  Signature signature;
  double text_seconds = 0;     // staging and printing
  double compile_seconds = 0;  // XLA, or loading
  bool from_cache = false;     // or from a file
};

class Session {
 public:
  // Finds and loads the plugin (keys `hardware`, `plugin`), registers the kernels, makes the client, lays the mesh over
  // its devices. Throws ConfigError or PjrtError.
  explicit Session(const Config& config);

  const std::shared_ptr<const Client>& client() const { return client_; }
  // All devices of the job, and which of them are this process's own.
  const DeviceMesh& mesh() const { return mesh_; }
  // Whether this process writes what one process writes for all: step lines, metrics, configuration.
  bool writes() const { return client_->process_index() == 0; }
  const Target& target() const { return target_; }
  const std::shared_ptr<const DeviceAssignment>& assignment() const { return assignment_; }
  // The processes that this one works with.
  const Job& job() const { return job_; }
  // "cpu (plugin xla_cpu_pjrt.so, PJRT 0.81, ...)".
  std::string description() const;

  // Version of the kernels' call interface; empty where the target has no kernels.
  std::string kernel_version() const;

  // For a program of these devices: their order in the mesh, the user's XLA flags.
  CompileOptions compile_options() const;
  // Stages, prints, compiles; checks that exactly the donated memory is reused. `stage` makes the program. With `file`
  // (written by train_compile) the compiled program comes from there.
  Compiled compile(const std::function<Program()>& stage, const std::string& file = {}) const;
  // One argument in device memory: of the whole array each device gets its part.
  ShardedArray upload(const HostArray& whole, const Sharding& sharding = {},
                      HostMemory memory = HostMemory::kCopy) const;
  // The same from its slices: the memory of those that this process holds is filled by `fill`.
  ShardedArray fill(const ArrayLayout& layout, const ShardedArray::FillSlices& fill) const {
    return ShardedArray::filled(assignment_, layout, fill);
  }
  // Starts a program; the arguments that it donates are empty afterwards.
  ShardedExecution run(const Compiled& program, const std::vector<ShardedArray*>& arguments) const {
    return execute(program.executable, program.signature, assignment_, arguments);
  }

 private:
  CachedExecutable compile_cached(const std::string& text, const CompileOptions& options) const;

  Job job_;
  const Plugin* plugin_ = nullptr;
  std::shared_ptr<const Client> client_;
  DeviceMesh mesh_;
  std::shared_ptr<const DeviceAssignment> assignment_;
  Target target_;
  bool require_kernels_ = false;
  std::string xla_flags_;
  CompileCache cache_;
};

}  // namespace fathom
