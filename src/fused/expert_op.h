// What the fused ops share that take the matrices of all experts of a layer (routed_experts, gathered_experts).
//
// Operands: x [b s d], then what says which tokens go to which experts, then w_gate [e f d], w_up [e f d],
// w_down [e d f]; the derivative has dy [b s d] behind them. FusedAttrs::ints: {activations_in_float32,
// gathered_bytes, rows_at_once, fp8}; reals: {factor}; shardings: {of w_gate and w_up, of w_down}.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "fused/expert_chunks.h"
#include "fused/expert_layout.h"
#include "graph/fused_op.h"

namespace fathom {

struct ExpertOptions {
  bool activations_in_float32 = false;
  int64_t gathered_bytes = kGatheredBytes;
  int64_t rows_at_once = kRowsAtOnce;
  double factor = 0;  // of an exchange (ExchangeOptions)
  bool fp8 = false;   // the products as in fused/fp8.h
};

FusedAttrs expert_attrs(const ExpertMatrices& matrices, const ExpertOptions& options);
inline bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }
inline bool in_fp8(const FusedAttrs& attrs) { return attrs.ints.at(3) != 0; }

// The mesh axes over which the per-device code runs (see ExpertLayout); none on one device.
struct ExpertSpread {
  MeshAxes expert = {}, model = {}, width = {}, rows = {};
  int64_t at_once = 0;  // experts to gather at a time
};

// One of the ops over experts.
struct ExpertOp {
  struct Choice {
    std::string_view names;  // "b s k"
    DType dtype;
  };
  std::string_view takes;             // what is said to an operand that does not fit
  std::span<const Choice> choices;    // the operands between x and the matrices
  std::span<const int> has_gradient;  // the operands whose cotangents the derivative gives, in this order

  // Where w_gate stands among the operands.
  int w_gate() const { return 1 + static_cast<int>(choices.size()); }

  std::vector<TensorType> infer_forward(const InferContext& c) const;
  std::vector<TensorType> infer_grad(const InferContext& c) const;

  using PerDevice = std::function<std::vector<Value>(const FusedAttrs& attrs, const ExpertSpread& over,
                                                     std::span<const Value> local)>;
  // The op on a mesh: `here` is the work of one device. Nothing without a layout.
  std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p,
                                           const std::optional<ExpertLayout>& layout, PerDevice here) const;
  // The same for the derivative.
  std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const std::optional<ExpertLayout>& layout,
                                        PerDevice here) const;

 private:
  void check(const InferContext& c) const;
  ShardedForm form(const Node& node, const Partition& p, const ExpertLayout& layout, PerDevice here) const;
};

// The layout of a node of such an op.
std::optional<ExpertLayout> layout_of(const Node& node, const Partition& p);

}  // namespace fathom
