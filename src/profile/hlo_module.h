// XLA's optimized program (HloModuleProto), as far as profiles and estimates need it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct HloShape {
  int element_type = 0;  // XLA's PrimitiveType
  std::vector<int64_t> sizes;
  std::vector<HloShape> parts;  // of a tuple

  int64_t elements() const;
  int64_t bytes() const;
};

struct HloInstruction {
  std::string name;    // unique in the module
  std::string opcode;  // "dot", "fusion", "while", ...
  std::string scope;   // of the metadata's op_name: the scope path that fathom printed
  std::string target;  // of a custom call
  std::string backend_config;
  HloShape shape;
  int64_t id = 0;
  std::vector<int64_t> operands, called;  // ids of instructions and of computations
  std::vector<int64_t> contracted;        // axes of a dot's left side
  std::optional<int64_t> constant;        // of a constant: its first number, where that is an s32
  // Of a collective: its channel, the attributes that mark the parts of one that runs beside others, and how many
  // devices work together (0 where the program does not say).
  int64_t channel = 0;
  std::string marks;
  int64_t group = 0;
};

struct HloComputation {
  std::string name;
  int64_t id = 0;
  int64_t root = 0;
  std::vector<HloInstruction> instructions;

  const HloInstruction& instruction(int64_t id) const;
  // The first that has `id` as an operand, or null.
  const HloInstruction* user(int64_t id) const;
};

struct HloModule {
  std::string name;
  int64_t entry = 0;
  std::vector<HloComputation> computations;

  const HloComputation& computation(int64_t id) const;
};

// Reads an HloModuleProto. Throws FormatError.
HloModule parse_hlo_module(std::string_view bytes);

// How often a loop runs, as XLA noted it on the instruction; 1 where it is not known.
int64_t known_trip_count(const HloInstruction& loop);
// The same, or else the constant that the loop's condition compares with: loops count from 0.
int64_t trip_count(const HloInstruction& loop, const HloModule& module);

// Multiplications and additions of a dot (two for each pair of numbers).
double dot_flops(const HloInstruction& dot, const HloComputation& in);

}  // namespace fathom
