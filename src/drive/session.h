// A live runtime as a configuration asks for it: plugin, client, kernels, compile cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "graph/emit/emit.h"
#include "runtime/compile_cache.h"
#include "runtime/executable.h"

namespace fathom {

// A program compiled for a session.
struct Compiled {
  Executable executable;
  Signature signature;
  double text_seconds = 0;     // staging and printing
  double compile_seconds = 0;  // XLA, or loading from the cache
  bool from_cache = false;

  // Positions of the donated arguments.
  std::vector<int> donated() const;
};

class Session {
 public:
  // Finds and loads the plugin (keys `hardware`, `plugin`), registers the kernels, makes the client. Throws ConfigError
  // or PjrtError.
  explicit Session(const Config& config);

  const std::shared_ptr<const Client>& client() const { return client_; }
  const Device& device() const { return *client_->addressable_devices()[0]; }
  const Target& target() const { return target_; }
  // "cpu (plugin xla_cpu_pjrt.so, PJRT 0.81, ...)".
  std::string description() const;

  // Stages, prints, compiles; checks that exactly the donated memory is reused. `stage` makes the program.
  Compiled compile(const std::function<Program()>& stage) const;
  // One argument in device memory.
  Buffer upload(const HostArray& array, HostMemory memory = HostMemory::kCopy) const;

 private:
  const Plugin* plugin_ = nullptr;
  std::shared_ptr<const Client> client_;
  Target target_;
  bool require_kernels_ = false;
  std::string xla_flags_;
  CompileCache cache_;
};

}  // namespace fathom
