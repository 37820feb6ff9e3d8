// Compiled programs on disk, so that a second start of the same program skips XLA.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/executable.h"

namespace fathom {

// Between the processes of a job. Compilers of GPU programs share the search for the fastest forms between all
// processes, so one that loads the program would leave the others waiting for its part.
class CompileAgreement {
 public:
  virtual ~CompileAgreement() = default;
  // Whether every process has the program in its cache; `own`: whether this one has. Every process asks, in the same
  // order of programs. Throws when one does not answer.
  virtual bool all_have_it(bool own) = 0;
};

struct CompileCacheOptions {
  // Where the entries lie; empty turns the cache off.
  std::string folder;
  // The version of the kernels' call interface: entries made with another one are not used.
  std::string kernel_abi;
  // When the entries take more bytes than this, those unused for longest are removed.
  int64_t max_bytes = int64_t{4} << 30;
  // Null: this process decides alone.
  std::shared_ptr<CompileAgreement> agreement = {};
};

struct CachedExecutable {
  Executable executable;
  bool from_cache = false;
};

class CompileCache {
 public:
  explicit CompileCache(CompileCacheOptions options) : options_(std::move(options)) {}

  // Loads the program if an entry for it is there, else compiles it and writes one. An entry that is damaged or that
  // the plugin refuses is compiled anew, a folder that cannot be written is only logged: the cache itself never fails a
  // run. With an agreement a program is loaded only where all processes have it. Throws PjrtError as
  // Executable::compile does.
  CachedExecutable compile(const std::shared_ptr<const Client>& client, std::string_view text,
                           const CompileOptions& options) const;

  // The file of this program: named by a hash of text, options, plugin, XLA_FLAGS, kernel_abi, devices and CPU.
  std::string entry_path(const Client& client, std::string_view text, const CompileOptions& options) const;

 private:
  void store(const std::string& path, const CompiledProgram& program) const;
  void remove_oldest() const;

  CompileCacheOptions options_;
};

// What XLA:CPU compiles for: the instructions of this very machine and its number of cores.
const std::string& cpu_fingerprint();

}  // namespace fathom
