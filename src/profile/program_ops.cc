#include "profile/program_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/abi.h"

namespace fathom {
namespace {

constexpr std::string_view kOurKernels = "fathom_";
// How far a scope path is looked for.
constexpr int kFarthest = 8;

template <size_t N>
bool one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Takes no time: names for what is there already.
constexpr std::array<std::string_view, 7> kFree = {"parameter",         "constant",  "bitcast",    "tuple",
                                                   "get-tuple-element", "after-all", "opt-barrier"};
constexpr std::array<std::string_view, 11> kMoves = {
    "copy",      "transpose", "reshape", "slice",         "concatenate",
    "broadcast", "pad",       "reverse", "dynamic-slice", "dynamic-update-slice",
    "iota"};

bool moves_only(const HloInstruction& i) {
  // Numbers that are computed one by one are places in arrays.
  return one_of(i.opcode, kFree) || one_of(i.opcode, kMoves) || i.shape.elements() == 1;
}

// Of a kernel's call (kernels/abi.h), multiplications and additions of its products.
double kernel_flops(const HloInstruction& i, const HloComputation& in) {
  auto size = [&](size_t operand, size_t axis) {
    return static_cast<double>(in.instruction(i.operands.at(operand)).shape.sizes.at(axis));
  };
  if (i.target == abi::kGroupedMatmul) return 2 * size(0, 0) * size(1, 2) * size(1, 3);
  if (i.target == abi::kGroupedOuter) return 2 * size(0, 0) * size(0, 1) * size(1, 1);
  if (i.target == abi::kIndexerSelection || i.target == abi::kIndexerKeys) {
    return size(0, 0) * size(0, 1) * size(0, 2) * size(0, 3) * size(1, 1);  // half of the keys, all heads
  }
  if (i.target == abi::kSelectedAttention || i.target == abi::kSelectedAttentionGrad) {
    const double pairs = 2 * size(0, 0) * size(0, 1) * size(0, 2) * size(3, 2), w = size(0, 3), u = size(2, 3);
    return pairs * (i.target == abi::kSelectedAttention ? w + u : 3 * w + 2 * u);
  }
  if (i.target == abi::kSelectedIndexerLoss || i.target == abi::kSelectedIndexerLossGrad) {
    const double pairs = 2 * size(0, 0) * size(0, 1) * size(3, 2), index = size(4, 2) * size(4, 3);
    return pairs * (size(0, 2) * size(0, 3) + (i.target == abi::kSelectedIndexerLoss ? 1 : 3) * index);
  }
  bool forward = i.target == abi::kFlashAttention;
  if (!forward && i.target != abi::kFlashAttentionGrad) return 0;
  // Half of the scores are masked (as if a row were one segment). Forward: q k^T and p v; backward: q k^T, d_out v^T
  // and the three gradients.
  double scores = size(0, 0) * size(0, 2) * size(0, 1) * size(0, 1);  // twice half of them
  double w = size(0, 3), u = size(2, 3);
  return scores * (forward ? w + u : 3 * w + 2 * u);
}

std::string shape_text(const HloShape& shape) {
  if (!shape.parts.empty()) return shape_text(shape.parts[0]) + ", ...";
  return shape.sizes.empty() ? "1" : fmt::format("{}", fmt::join(shape.sizes, "x"));
}

class Reader {
 public:
  explicit Reader(const HloModule& module) : module_(module) {}

  std::vector<ProgramOp> read() {
    read_computation(module_.computation(module_.entry), {});
    return std::move(out_);
  }

 private:
  struct Around {
    int64_t runs = 1;       // of the computation in a step
    bool backward = false;  // the loop around it belongs to the backward pass
  };

  void read_computation(const HloComputation& computation, const Around& around) {
    for (const HloInstruction& i : computation.instructions) {
      if (one_of(i.opcode, kFree)) continue;
      out_.push_back(op(i, computation, around));
      if (i.opcode != "while" && i.opcode != "call" && i.opcode != "conditional") continue;
      Around inside = around;
      if (i.opcode == "while") {
        inside.runs *= known_trip_count(i);
        inside.backward = place_of(i.scope).pass == Pass::kBackward;
      }
      for (int64_t called : i.called) read_computation(module_.computation(called), inside);
    }
  }

  ProgramOp op(const HloInstruction& i, const HloComputation& in, const Around& around) const {
    Place place = place_of(scope_of(i, in));
    // The reverse loop makes again what takes no arithmetic, whatever the remat policy is.
    if (around.backward && place.pass == Pass::kForward) place.pass = Pass::kRecomputed;
    int64_t runs = around.runs;
    ProgramOp out{.name = i.name,
                  .kind = kind(i),
                  .part = place.part,
                  .pass = place.pass,
                  .runs = runs,
                  .kernel = i.target.starts_with(kOurKernels),
                  .shape = shape_text(i.shape)};
    if (out.kind == "product") add_product(i, in, out);
    if (out.kernel) out.flops = kernel_flops(i, in) * static_cast<double>(runs);
    if (out.kind == "copy") out.moved = 2.0 * static_cast<double>(written(i, in) * runs);
    return out;
  }

  // What XLA put in between carries no path: it takes that of what it works on, else that of what uses it.
  static std::string scope_of(const HloInstruction& i, const HloComputation& in) {
    const HloInstruction* at = &i;
    for (int n = 0; n < kFarthest && at->scope.empty() && !at->operands.empty(); ++n) {
      at = &in.instruction(at->operands[0]);
    }
    if (!at->scope.empty()) return at->scope;
    at = &i;
    for (int n = 0; n < kFarthest && at != nullptr && at->scope.empty(); ++n) at = in.user(at->id);
    return at == nullptr ? "" : at->scope;
  }

  std::string kind(const HloInstruction& i) const {
    if (i.opcode == "dot" || i.opcode == "convolution") return "product";
    if (i.opcode == "while" || i.opcode == "call" || i.opcode == "conditional") return "control";
    if (i.target.starts_with(kOurKernels)) return i.target.substr(kOurKernels.size());
    if (i.opcode == "custom-call") return i.target;
    if (i.opcode == "reduce" || i.opcode == "reduce-window") return "reduction";
    if (i.opcode == "fusion") return fusion_kind(module_.computation(i.called.at(0)));
    if (one_of(i.opcode, kMoves)) return "copy";
    if (i.opcode == "sort" || i.opcode == "scatter" || i.opcode == "gather") return i.opcode;
    return "elementwise";
  }

  // The kind of its most laborious instruction.
  std::string fusion_kind(const HloComputation& fused) const {
    constexpr std::array<std::string_view, 6> kOrder = {"product",   "scatter", "sort",
                                                        "reduction", "gather",  "elementwise"};
    size_t best = kOrder.size();
    for (const HloInstruction& i : fused.instructions) {
      if (moves_only(i) && i.opcode != "reduce") continue;
      const std::string inner = kind(i);
      best = std::min(best, static_cast<size_t>(std::find(kOrder.begin(), kOrder.end(), inner) - kOrder.begin()));
    }
    return best < kOrder.size() ? std::string(kOrder[best]) : "copy";
  }

  void add_product(const HloInstruction& i, const HloComputation& in, ProgramOp& out) const {
    if (i.opcode == "fusion") {
      const HloComputation& fused = module_.computation(i.called.at(0));
      for (const HloInstruction& inner : fused.instructions) add_product(inner, fused, out);
      return;
    }
    if (i.opcode != "dot") return;
    if (!i.scope.empty()) out.part = place_of(i.scope).part;  // not that of what is fused behind it
    out.flops += dot_flops(i, in) * static_cast<double>(out.runs);
    out.shape = fmt::format("{} x {}", shape_text(in.instruction(i.operands.at(0)).shape),
                            shape_text(in.instruction(i.operands.at(1)).shape));
  }

  // Bytes that a copy writes: an update in place writes the part that it puts in.
  int64_t written(const HloInstruction& i, const HloComputation& in) const {
    if (i.opcode == "dynamic-update-slice") return in.instruction(i.operands.at(1)).shape.bytes();
    if (i.opcode == "fusion") {
      const HloComputation& fused = module_.computation(i.called.at(0));
      return written(fused.instruction(fused.root), fused);
    }
    if (i.opcode == "bitcast") return written(in.instruction(i.operands.at(0)), in);
    if (i.opcode == "tuple") {
      int64_t n = 0;
      for (int64_t operand : i.operands) n += written(in.instruction(operand), in);
      return n;
    }
    return i.opcode == "parameter" || i.opcode == "constant" ? 0 : i.shape.bytes();
  }

  const HloModule& module_;
  std::vector<ProgramOp> out_;
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string_view name(Pass pass) {
  constexpr std::array<std::string_view, kPasses> kNames = {"forward", "recomputed", "backward", "update"};
  return kNames[static_cast<size_t>(pass)];
}

Place place_of(std::string_view scope) {
  Place out;
  if (take_prefix(scope, "grad/")) out.pass = Pass::kBackward;
  if (take_prefix(scope, "remat/")) out.pass = Pass::kRecomputed;
  if (scope == "optimizer" || scope.starts_with("optimizer/")) out.pass = Pass::kUpdate;
  if (scope == "decoder") return {"embedding, output norm", out.pass};
  take_prefix(scope, "decoder/");
  out.part = scope.empty() ? "(no scope)" : scope;
  return out;
}

std::vector<ProgramOp> program_ops(const HloModule& module) { return Reader(module).read(); }

}  // namespace fathom
