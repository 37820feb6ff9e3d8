// Donation: which argument's memory the compiler lets which result take over, beside what the signature wants.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/signature.h"
#include "runtime/compiled_program.h"

namespace fathom {

// Positions of an argument and of the result that takes over its memory.
struct MemoryAlias {
  int argument = 0;
  int result = 0;
  friend bool operator==(const MemoryAlias&, const MemoryAlias&) = default;
};

// Those of an optimized program (the bytes of an HloModuleProto), in its order. Throws FormatError.
std::vector<MemoryAlias> memory_aliases(std::string_view hlo_module);

// Bytes on one device of all arguments, and of those that the signature donates, without padding.
int64_t argument_bytes(const Signature& signature);
int64_t donated_bytes(const Signature& signature);

// What is wrong with the compiler's list, entry by entry: donated arguments that no result or another one takes over,
// arguments that are not donated and yet taken. Empty where it is what the signature wants.
std::string donation_fault(const Signature& signature, const std::vector<MemoryAlias>& aliases);

// Throws RuntimeFault unless the compiler reuses the memory that the signature donates and no other: otherwise
// parameters and optimizer state stand in memory twice. Where arrays have no padding the bytes say so; else (TPU) the
// entries of the optimized program count, and of a plugin that does not give it that no fewer bytes are reused than are
// donated.
void check_donation(const CompiledProgram& program, const Signature& signature);

}  // namespace fathom
