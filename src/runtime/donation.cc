#include "runtime/donation.h"

#include <fmt/format.h>

#include <optional>

#include "base/device_bytes.h"
#include "base/error.h"
#include "base/listed.h"
#include "base/proto_wire.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

// Field numbers are those of xla/service/hlo.proto.
constexpr const char* kWhat = "optimized program";
constexpr size_t kListed = 3;  // names in a message

// HloInputOutputAliasProto.AliasEntryProto. A program of several results is a tuple, whose index names the result; a
// single one has no index. Arguments are never tuples here.
MemoryAlias read_entry(std::string_view bytes) {
  MemoryAlias out;
  ProtoReader r(bytes, kWhat);
  while (r.next()) {
    if (r.field() == 2) out.argument = static_cast<int>(r.varint());
    if (r.field() != 1) continue;
    std::vector<int64_t> index = r.varints();
    if (!index.empty()) out.result = static_cast<int>(index.front());
  }
  return out;
}

// Nothing where the plugin does not give the optimized program.
std::optional<std::string> optimized_program(const CompiledProgram& program) {
  try {
    return program.optimized_program();
  } catch (const PjrtError&) {
    return std::nullopt;
  }
}

}  // namespace

std::vector<MemoryAlias> memory_aliases(std::string_view hlo_module) {
  std::vector<MemoryAlias> out;
  ProtoReader module(hlo_module, kWhat);
  while (module.next()) {
    if (module.field() != 8) continue;  // HloModuleProto.input_output_alias
    ProtoReader config(module.bytes(), kWhat);
    while (config.next()) {
      if (config.field() == 1) out.push_back(read_entry(config.bytes()));
    }
  }
  return out;
}

int64_t argument_bytes(const Signature& signature) {
  int64_t total = 0;
  for (const ArgSpec& arg : signature.args) total += device_bytes(arg.type, arg.sharding, signature.mesh);
  return total;
}

int64_t donated_bytes(const Signature& signature) {
  int64_t total = 0;
  for (const ArgSpec& arg : signature.args) {
    if (arg.donated_to) total += device_bytes(arg.type, arg.sharding, signature.mesh);
  }
  return total;
}

std::string donation_fault(const Signature& signature, const std::vector<MemoryAlias>& aliases) {
  std::vector<std::optional<int>> taken(signature.args.size());
  for (const MemoryAlias& a : aliases) taken.at(static_cast<size_t>(a.argument)) = a.result;
  std::vector<std::string> wrong;
  for (size_t i = 0; i < taken.size(); ++i) {
    const ArgSpec& arg = signature.args[i];
    if (taken[i] == arg.donated_to) continue;
    auto result = [&](const std::optional<int>& index) {
      return index ? fmt::format("'{}'", signature.results.at(static_cast<size_t>(*index)).name) : "no result";
    };
    wrong.push_back(
        fmt::format("'{}' is taken over by {} instead of {}", arg.name, result(taken[i]), result(arg.donated_to)));
  }
  return listed(wrong, kListed);
}

void check_donation(const CompiledProgram& program, const Signature& signature) {
  int64_t donated = donated_bytes(signature);
  MemoryStats memory = program.memory_stats();
  int64_t alias = memory.alias;
  // Without padding, equal sums have equal parts: only what the text marks can be reused at all.
  if (alias == donated && memory.argument == argument_bytes(signature)) return;
  std::optional<std::string> module = optimized_program(program);
  std::string fault = module ? donation_fault(signature, memory_aliases(*module)) : "";
  if (!module && alias < donated) fault = "the plugin does not say which";
  if (fault.empty()) return;
  throw RuntimeFault(
      fmt::format("the program donates {} bytes a device but the compiler reuses {}: {}; the result of a donated "
                  "argument must have its type and sharding",
                  donated, alias, fault));
}

}  // namespace fathom
