#include "fused/cross_entropy.h"

#include "fused/derivative.h"
#include "fused/kernel_call.h"
#include "graph/manual.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands: logits [... v], targets [...]; the derivative adds log_z, d_log_z, d_chosen, all [...].

// ---- shape rules ----

void check_rows(const InferContext& c) {
  const TensorType &logits = c.type(0), &targets = c.type(1);
  std::vector<Axis> rows = logits.shape.axes();
  if (rows.empty() || rows.back().name != "v") c.fail("cross_entropy takes logits whose last axis is v");
  rows.pop_back();
  if (!is_float(logits.dtype) || targets.dtype != DType::kS32) c.fail("cross_entropy takes floats and s32 targets");
  if (targets.shape != Shape(rows)) c.fail("the targets of cross_entropy have the axes of the logits without v");
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check_rows(c);
  TensorType row{DType::kF32, c.type(1).shape};
  return {row, row};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check_rows(c);
  for (int i = 2; i < 5; ++i) {
    if (c.type(i) != TensorType{DType::kF32, c.type(1).shape}) c.fail("cross_entropy_grad takes f32 numbers a row");
  }
  return {c.type(0)};
}

// ---- composed references ----

// Whether a position of v is the target's. A comparison with iota instead of a gather or a scatter: it fuses with its
// neighbours.
Value at_target(const Value& logits, const Value& targets) {
  return equal(iota(logits.graph(), DType::kS32, logits.shape(), "v"), targets);
}

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  Value logits = convert(in[0], DType::kF32);
  return {logsumexp(logits, "v"), reduce_sum(select(at_target(in[0], in[1]), logits, 0), "v")};
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  Value softmax = exp(convert(in[0], DType::kF32) - in[2]);
  Value chosen = select(at_target(in[0], in[1]), broadcast(in[4], in[0].shape()), 0);
  return {convert(softmax * in[3] + chosen, in[0].dtype())};
}

// ---- kernels ----

std::vector<Value> kernel_forward(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kCrossEntropy, 1, reason)) return {};
  return call_kernel(c, abi::kCrossEntropy);
}

std::vector<Value> kernel_grad(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kCrossEntropyGrad, 1, reason)) return {};
  return call_kernel(c, abi::kCrossEntropyGrad, {{0, 0}});
}

// ---- on a mesh ----
// Each device has a part of the rows and, where v is split, a part of each row: there its sum of exponentials meets
// those of the others, and a target counts where it lies.

struct RowParts {
  Sharding logits, row;
  std::vector<std::string> vocab;  // the mesh axes that split v

  RowParts(const Node& node, const Partition& p)
      : logits(p.activation(node.operands[0].shape())),
        row(p.activation(node.operands[1].shape())),
        vocab(logits.dims.back()) {}

  // The targets as positions in the device's part of v.
  Value shifted(std::span<const Value> local) const {
    if (vocab.empty()) return local[1];
    return local[1] - device_index(local[1].graph(), vocab) * local[0].size("v");
  }
};

std::vector<Value> forward_part(const RowParts& parts, std::span<const Value> local) {
  RowScores part = cross_entropy(local[0], parts.shifted(local));
  if (parts.vocab.empty()) return {part.log_z, part.chosen};
  Value all = all_gather(expand(part.log_z, "part"), "part", parts.vocab);
  return {logsumexp(all, "part"), all_reduce(part.chosen, parts.vocab)};
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target& target) {
  if (!target.has(abi::kCrossEntropy)) return std::nullopt;
  RowParts parts(node, p);
  ShardedForm form{.in = {parts.logits, parts.row}, .out = {parts.row, parts.row}, .body = {}};
  form.body = [parts](std::span<const Value> local) { return forward_part(parts, local); };
  return form;
}

// With log_z of the whole row each device has what its part needs.
std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target& target) {
  if (!target.has(abi::kCrossEntropyGrad)) return std::nullopt;
  RowParts parts(node, p);
  ShardedForm form{.in = {parts.logits, parts.row, parts.row, parts.row, parts.row}, .out = {parts.logits}, .body = {}};
  form.body = [parts, &node](std::span<const Value> local) {
    std::vector<Value> operands(local.begin(), local.end());
    operands[1] = parts.shifted(local);
    return on_parts(node, std::move(operands));
  };
  return form;
}

// ---- the two ops ----

const FusedOp kGrad{.name = "cross_entropy_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .forms = {.cpu = kernel_grad, .gpu = plain_ops, .tpu = plain_ops},
                    .shard = shard_grad};

void vjp(VjpContext& c) {
  if (!c.wants(0)) return;
  Value logits = c.operand(0);
  auto cotangent = [&](int i) {
    Value d = c.cotangent(i);
    return d ? d : zeros(logits.graph(), c.node().results[static_cast<size_t>(i)]);
  };
  add_results_of(kGrad, c, {logits, c.operand(1), c.result(0), cotangent(0), cotangent(1)}, {0});
}

const FusedOp kForward{.name = "cross_entropy",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .forms = {.cpu = kernel_forward, .gpu = plain_ops, .tpu = plain_ops},
                       .shard = shard_forward};

}  // namespace

RowScores cross_entropy(Value logits, Value targets, Where where) {
  auto made = fused(logits.graph(), kForward, {logits, targets}, {}, where);
  return {made[0], made[1]};
}

Value cross_entropy_grad(Value logits, Value targets, const RowCotangents& rows, Where where) {
  return fused(logits.graph(), kGrad, {logits, targets, rows.log_z, rows.d_log_z, rows.d_chosen}, {}, where)[0];
}

}  // namespace fathom
