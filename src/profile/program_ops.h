// The operations that a compiled program runs, told by layer, pass and kind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "profile/hlo_module.h"

namespace fathom {

enum class Pass : uint8_t { kForward, kRecomputed, kBackward, kUpdate };
inline constexpr int kPasses = 4;
std::string_view name(Pass pass);

// An instruction that runs by itself (the plugin has a thunk for it).
struct ProgramOp {
  std::string name;  // of the instruction
  std::string kind;  // "product", "copy", "reduction", "elementwise", "grouped_matmul", "scatter", ...
  std::string part;  // of the model: "moe_layers/mla", "loss", "optimizer"
  Pass pass = Pass::kForward;
  int64_t runs = 1;     // in a step: more than one in a loop
  double flops = 0;     // of a step's products
  double moved = 0;     // bytes that a step's copies read and write
  bool kernel = false;  // one of fathom's own
  // "512x2048 x 2048x512" of a product, the shape of the result else.
  std::string shape;
};

// All that run, loops' bodies included, in the order of the program.
std::vector<ProgramOp> program_ops(const HloModule& module);

// "grad/decoder/moe_layers/mla" is moe_layers/mla, backward. "remat/" marks what the backward pass computes again.
struct Place {
  std::string part;
  Pass pass = Pass::kForward;
};
Place place_of(std::string_view scope);

}  // namespace fathom
