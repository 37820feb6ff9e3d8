// Compiled programs that can run.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/client.h"
#include "runtime/compile_options.h"
#include "runtime/compiled_program.h"
#include "runtime/event.h"

struct PJRT_Event;
struct PJRT_LoadedExecutable;

namespace fathom {

struct ExecuteOptions {
  // Positions of the arguments given away: the program may reuse their memory, and their Buffers are empty after the
  // call. The text must mark them as well (tf.aliasing_output), or the memory is only freed. All other arguments
  // survive.
  std::vector<int> donated = {};
};

struct Execution {
  // [addressable device][result]; the contents come later, as done and ready_event() say.
  std::vector<std::vector<Buffer>> outputs;
  Completion done;
};

// Move-only; keeps the client alive. Thread-safe.
class Executable {
 public:
  // Compiles StableHLO text. Throws PjrtError with the compiler's own words.
  static Executable compile(const std::shared_ptr<const Client>& client, std::string_view text,
                            const CompileOptions& options);
  // Loads what CompiledProgram::serialize() gave. The FFI handlers that it calls must be registered already.
  static Executable deserialize(const std::shared_ptr<const Client>& client, std::string_view bytes,
                                const CompileOptions& options);

  Executable(Executable&& other) noexcept;
  Executable& operator=(Executable&& other) noexcept;
  ~Executable();

  // Memory, cost, serialised form.
  const CompiledProgram& program() const { return program_; }
  // The devices of this process that the program runs on, in the order of execute_sharded's lists.
  const std::vector<const Device*>& devices() const { return devices_; }

  // Starts the program on its only device and returns without waiting. Throws PjrtError when the arguments do not fit,
  // or when a donated one is a zero-copy view of host memory or stands in the list twice; nothing is donated then.
  Execution execute(const std::vector<Buffer*>& arguments, const ExecuteOptions& options = {}) const;
  // One list of arguments for each of devices().
  Execution execute_sharded(const std::vector<std::vector<Buffer*>>& arguments,
                            const ExecuteOptions& options = {}) const;

 private:
  Executable(const std::shared_ptr<const Client>& client, PJRT_LoadedExecutable* handle);
  Executable(std::shared_ptr<const Client> client, PJRT_LoadedExecutable* handle, CompiledProgram program);
  static CompiledProgram program_of(const std::shared_ptr<const Client>& client, PJRT_LoadedExecutable* handle);
  void read_devices();
  // Fills results[device][result] and done[device]. `kept` are the positions that must not be reused.
  void launch(std::vector<std::vector<PJRT_Buffer*>>& inputs, const std::vector<int64_t>& kept,
              std::vector<std::vector<PJRT_Buffer*>>& results, std::vector<PJRT_Event*>& done) const;
  void destroy() noexcept;

  std::shared_ptr<const Client> client_;
  PJRT_LoadedExecutable* handle_;
  CompiledProgram program_;
  std::vector<const Device*> devices_;
  size_t num_outputs_ = 0;
};

}  // namespace fathom
