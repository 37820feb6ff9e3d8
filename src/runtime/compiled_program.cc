#include "runtime/compiled_program.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/proto_wire.h"
#include "runtime/pjrt_api.h"

namespace fathom {

CompiledProgram::CompiledProgram(const Plugin& plugin, PJRT_Executable* handle, std::shared_ptr<const void> owner)
    : plugin_(&plugin), handle_(handle), owner_(std::move(owner)) {}

CompiledProgram::CompiledProgram(CompiledProgram&& other) noexcept
    : plugin_(other.plugin_), handle_(std::exchange(other.handle_, nullptr)), owner_(std::move(other.owner_)) {}

CompiledProgram& CompiledProgram::operator=(CompiledProgram&& other) noexcept {
  if (this != &other) {
    destroy();
    plugin_ = other.plugin_;
    handle_ = std::exchange(other.handle_, nullptr);
    owner_ = std::move(other.owner_);
  }
  return *this;
}

CompiledProgram::~CompiledProgram() { destroy(); }

void CompiledProgram::destroy() noexcept {
  if (handle_ == nullptr) return;
  PJRT_Executable_Destroy_Args args{};
  args.executable = std::exchange(handle_, nullptr);
  FATHOM_PJRT_DESTROY(*plugin_, PJRT_Executable_Destroy, args);
}

MemoryStats CompiledProgram::memory_stats() const {
  PJRT_Executable_GetCompiledMemoryStats_Args args{};
  args.executable = handle_;
  FATHOM_PJRT(*plugin_, PJRT_Executable_GetCompiledMemoryStats, args);
  return {.argument = args.argument_size_in_bytes,
          .output = args.output_size_in_bytes,
          .alias = args.alias_size_in_bytes,
          .temp = args.temp_size_in_bytes,
          .generated_code = args.generated_code_size_in_bytes,
          .peak = args.peak_memory_in_bytes};
}

std::map<std::string, double> CompiledProgram::cost_analysis() const {
  PJRT_Executable_GetCostAnalysis_Args args{};
  args.executable = handle_;
  try {
    FATHOM_PJRT(*plugin_, PJRT_Executable_GetCostAnalysis, args);
  } catch (const PjrtError& error) {
    if (error.code() == PjrtCode::kUnimplemented) return {};
    throw;
  }
  std::map<std::string, double> out;
  for (const auto& [name, value] : from_pjrt(args.properties, args.num_properties)) {
    if (const auto* number = std::get_if<float>(&value)) out[name] = *number;
    if (const auto* number = std::get_if<int64_t>(&value)) out[name] = static_cast<double>(*number);
  }
  return out;
}

int64_t CompiledProgram::num_outputs() const {
  PJRT_Executable_NumOutputs_Args args{};
  args.executable = handle_;
  FATHOM_PJRT(*plugin_, PJRT_Executable_NumOutputs, args);
  return static_cast<int64_t>(args.num_outputs);
}

int64_t CompiledProgram::num_partitions() const {
  PJRT_Executable_NumPartitions_Args args{};
  args.executable = handle_;
  FATHOM_PJRT(*plugin_, PJRT_Executable_NumPartitions, args);
  return static_cast<int64_t>(args.num_partitions);
}

std::string CompiledProgram::optimized_program() const {
  PJRT_Executable_OptimizedProgram_Args args{};
  args.executable = handle_;
  PJRT_Program program{};
  program.struct_size = PJRT_Program_STRUCT_SIZE;
  args.program = &program;
  // The first call says how long the program is, the second one copies it.
  FATHOM_PJRT(*plugin_, PJRT_Executable_OptimizedProgram, args);
  std::string code(program.code_size, '\0');
  program.code = code.data();
  FATHOM_PJRT(*plugin_, PJRT_Executable_OptimizedProgram, args);
  std::string_view format(program.format, program.format_size);
  if (format == "hlo") return code;
  if (format != "hlo_with_config") {
    throw RuntimeFault(fmt::format("the plugin gives its optimized program as '{}', not as HLO", format));
  }
  // HloModuleProtoWithConfig.hlo_module
  ProtoReader reader(code, "optimized program");
  while (reader.next()) {
    if (reader.field() == 1) return std::string(reader.bytes());
  }
  throw RuntimeFault("the plugin's optimized program holds no module");
}

std::string CompiledProgram::serialize() const {
  PJRT_Executable_Serialize_Args args{};
  args.executable = handle_;
  FATHOM_PJRT(*plugin_, PJRT_Executable_Serialize, args);
  // The bytes belong to the plugin until its deleter has been called.
  std::unique_ptr<PJRT_SerializedExecutable, void (*)(PJRT_SerializedExecutable*)> backing(
      args.serialized_executable, args.serialized_executable_deleter);
  return {args.serialized_bytes, args.serialized_bytes_size};
}

}  // namespace fathom
