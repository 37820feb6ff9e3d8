#include "runtime/executable.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw PjrtError(PjrtCode::kInvalidArgument, "Executable::execute", text);
}

// `arguments` of one device. A buffer that is given away must be the plugin's own memory and stand at one position
// only.
void check_donated(const std::vector<Buffer*>& arguments, const std::vector<int>& donated) {
  if (donated.empty()) return;
  std::vector<const Buffer*> sorted(arguments.begin(), arguments.end());
  std::ranges::sort(sorted, std::less<>());
  for (int position : donated) {
    if (position < 0 || static_cast<size_t>(position) >= arguments.size()) {
      refuse(fmt::format("argument {} is donated but there are only {} arguments", position, arguments.size()));
    }
    const Buffer* buffer = arguments[static_cast<size_t>(position)];
    if (buffer->zero_copy()) {
      refuse(
          fmt::format("argument {} is donated but is a view of host memory: make it with HostMemory::kCopy", position));
    }
    if (std::ranges::equal_range(sorted, buffer, std::less<>()).size() != 1) {
      refuse(fmt::format("argument {} is donated but stands in the list twice", position));
    }
  }
}

// XLA may reuse every argument that the text marks unless it is told not to.
std::vector<int64_t> kept_positions(size_t count, const std::vector<int>& donated) {
  std::vector<bool> given(count);
  for (int position : donated) given[static_cast<size_t>(position)] = true;
  std::vector<int64_t> kept;
  for (size_t i = 0; i < count; ++i) {
    if (!given[i]) kept.push_back(static_cast<int64_t>(i));
  }
  return kept;
}

template <class T>
std::vector<T*> row_pointers(std::vector<std::vector<T>>& rows) {
  std::vector<T*> out;
  for (auto& row : rows) out.push_back(row.data());
  return out;
}

}  // namespace

Executable Executable::compile(const std::shared_ptr<const Client>& client, std::string_view text,
                               const CompileOptions& options) {
  std::string encoded = encode(options);
  PJRT_Program program = mlir_program(text);
  PJRT_Client_Compile_Args args{};
  args.client = client->handle();
  args.program = &program;
  args.compile_options = encoded.data();
  args.compile_options_size = encoded.size();
  FATHOM_PJRT(client->plugin(), PJRT_Client_Compile, args);
  return {client, args.executable};
}

Executable Executable::deserialize(const std::shared_ptr<const Client>& client, std::string_view bytes,
                                   const CompileOptions& options) {
  std::string encoded = encode(options);
  PJRT_Executable_DeserializeAndLoad_Args args{};
  args.client = client->handle();
  args.serialized_executable = bytes.data();
  args.serialized_executable_size = bytes.size();
  args.overridden_serialized_compile_options = encoded.data();
  args.overridden_serialized_compile_options_size = encoded.size();
  FATHOM_PJRT(client->plugin(), PJRT_Executable_DeserializeAndLoad, args);
  return {client, args.loaded_executable};
}

Executable::Executable(std::shared_ptr<const Client> client, PJRT_LoadedExecutable* handle, CompiledProgram program)
    : client_(std::move(client)), handle_(handle), program_(std::move(program)) {}

// The handle has its owner, the object of the other constructor, before anything can throw.
Executable::Executable(const std::shared_ptr<const Client>& client, PJRT_LoadedExecutable* handle)
    : Executable(client, handle, CompiledProgram(client->plugin(), nullptr, client)) {
  program_ = program_of(client_, handle_);
  num_outputs_ = static_cast<size_t>(program_.num_outputs());
  read_devices();
}

CompiledProgram Executable::program_of(const std::shared_ptr<const Client>& client, PJRT_LoadedExecutable* handle) {
  PJRT_LoadedExecutable_GetExecutable_Args args{};
  args.loaded_executable = handle;
  FATHOM_PJRT(client->plugin(), PJRT_LoadedExecutable_GetExecutable, args);
  return {client->plugin(), args.executable, client};
}

void Executable::read_devices() {
  PJRT_LoadedExecutable_AddressableDevices_Args args{};
  args.executable = handle_;
  FATHOM_PJRT(client_->plugin(), PJRT_LoadedExecutable_AddressableDevices, args);
  for (size_t i = 0; i < args.num_addressable_devices; ++i) {
    devices_.push_back(&client_->device(args.addressable_devices[i]));
  }
}

Executable::Executable(Executable&& other) noexcept
    : client_(std::move(other.client_)),
      handle_(std::exchange(other.handle_, nullptr)),
      program_(std::move(other.program_)),
      devices_(std::move(other.devices_)),
      num_outputs_(other.num_outputs_) {}

Executable& Executable::operator=(Executable&& other) noexcept {
  if (this != &other) {
    destroy();
    client_ = std::move(other.client_);
    handle_ = std::exchange(other.handle_, nullptr);
    program_ = std::move(other.program_);
    devices_ = std::move(other.devices_);
    num_outputs_ = other.num_outputs_;
  }
  return *this;
}

Executable::~Executable() { destroy(); }

void Executable::destroy() noexcept {
  if (handle_ == nullptr) return;
  PJRT_LoadedExecutable_Destroy_Args args{};
  args.executable = std::exchange(handle_, nullptr);
  FATHOM_PJRT_DESTROY(client_->plugin(), PJRT_LoadedExecutable_Destroy, args);
}

Execution Executable::execute(const std::vector<Buffer*>& arguments, const ExecuteOptions& options) const {
  return execute_sharded({arguments}, options);
}

Execution Executable::execute_sharded(const std::vector<std::vector<Buffer*>>& arguments,
                                      const ExecuteOptions& options) const {
  if (devices_.empty()) refuse("the program runs on no device of this process");
  if (arguments.size() != devices_.size()) {
    refuse(fmt::format("the program runs on {} devices of this process but arguments for {} are given", devices_.size(),
                       arguments.size()));
  }
  size_t num_args = arguments.front().size();
  std::vector<std::vector<PJRT_Buffer*>> inputs;
  for (const std::vector<Buffer*>& list : arguments) {
    if (list.size() != num_args) refuse(fmt::format("the devices get {} and {} arguments", num_args, list.size()));
    check_donated(list, options.donated);
    std::vector<PJRT_Buffer*>& handles = inputs.emplace_back();
    for (const Buffer* buffer : list) handles.push_back(buffer->handle());
  }
  std::vector<std::vector<PJRT_Buffer*>> results(devices_.size(), std::vector<PJRT_Buffer*>(num_outputs_));
  std::vector<PJRT_Event*> done(devices_.size());
  launch(inputs, kept_positions(num_args, options.donated), results, done);

  Execution out;
  std::vector<Event> events;
  for (size_t d = 0; d < devices_.size(); ++d) {
    events.emplace_back(client_, done[d]);
    std::vector<Buffer>& row = out.outputs.emplace_back();
    for (PJRT_Buffer* result : results[d]) row.emplace_back(client_, result);
    // The plugin has taken the memory; what is left of the handle is freed here.
    for (int position : options.donated) *arguments[d][static_cast<size_t>(position)] = Buffer();
  }
  out.done = Completion(std::move(events));
  return out;
}

void Executable::launch(std::vector<std::vector<PJRT_Buffer*>>& inputs, const std::vector<int64_t>& kept,
                        std::vector<std::vector<PJRT_Buffer*>>& results, std::vector<PJRT_Event*>& done) const {
  PJRT_ExecuteOptions options{};
  options.struct_size = PJRT_ExecuteOptions_STRUCT_SIZE;
  options.non_donatable_input_indices = kept.data();
  options.num_non_donatable_input_indices = kept.size();
  std::vector<PJRT_Buffer**> input_rows = row_pointers(inputs);
  std::vector<PJRT_Buffer**> result_rows = row_pointers(results);
  PJRT_LoadedExecutable_Execute_Args args{};
  args.executable = handle_;
  args.options = &options;
  args.argument_lists = input_rows.data();
  args.num_devices = inputs.size();
  args.num_args = inputs.front().size();
  args.output_lists = result_rows.data();
  args.device_complete_events = done.data();
  FATHOM_PJRT(client_->plugin(), PJRT_LoadedExecutable_Execute, args);
}

}  // namespace fathom
