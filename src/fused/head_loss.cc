#include "fused/head_loss.h"

#include <algorithm>

#include "fused/derivative.h"
#include "graph/manual.h"
#include "graph/ops/build.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

// Operands: x [b s d], w [v d], targets [b s]; the derivative adds log_z, d_log_z, d_chosen, all [b s].
// FusedAttrs::ints: {blocks, whether logits are float32}; shardings: {of w}.
int64_t blocks_of(const FusedAttrs& attrs) { return attrs.ints.at(0); }
DType logits_type(const FusedAttrs& attrs, DType dtype) { return attrs.ints.at(1) != 0 ? DType::kF32 : dtype; }

// ---- shape rules ----

void check(const InferContext& c) {
  const TensorType &x = c.type(0), &w = c.type(1), &targets = c.type(2);
  if (join_names(x.shape) != "b s d" || join_names(w.shape) != "v d" || x.shape[2] != w.shape[1] ||
      x.dtype != w.dtype || !is_float(x.dtype)) {
    c.fail("head_loss takes x [b s d] and w [v d] of one float type");
  }
  if (targets != TensorType{DType::kS32, Shape{x.shape[0], x.shape[1]}}) c.fail("head_loss takes s32 targets [b s]");
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check(c);
  TensorType row{DType::kF32, c.type(2).shape};
  return {row, row};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check(c);
  for (int i = 3; i < 6; ++i) {
    if (c.type(i) != TensorType{DType::kF32, c.type(2).shape}) c.fail("head_loss_grad takes f32 numbers a token");
  }
  return {c.type(0), c.type(1)};
}

// ---- blocks of the tokens of one device ----

// [b s ...] -> [block t ...], with zeros behind the last token.
Value in_blocks(Value x, int64_t blocks) {
  Value flat = merge_axes(x, "b s", "t");
  const int64_t tokens = flat.size("t"), each = (tokens + blocks - 1) / blocks;
  if (each * blocks > tokens) flat = pad(flat, "t", 0, each * blocks - tokens);
  return split_axis(flat, "t", {{"block", blocks}, {"t", each}});
}

// [block t ...] -> [b s ...]
Value out_of_blocks(Value x, const Shape& tokens) {
  Value flat = slice(merge_axes(x, "block t", "t"), "t", 0, tokens.elements());
  return split_axis(flat, "t", {tokens[0], tokens[1]});
}

std::vector<Value> all_in_blocks(std::initializer_list<Value> values, int64_t blocks) {
  std::vector<Value> out;
  for (Value v : values) out.push_back(in_blocks(v, blocks));
  return out;
}

Value logits_of(const FusedAttrs& attrs, Value x, Value w) {
  return dot(x, w, "d", {.out = logits_type(attrs, x.dtype())});
}

// On one device: its tokens and its part of v.
std::vector<Value> forward_here(const FusedAttrs& attrs, Value x, Value w, Value targets) {
  const int64_t blocks = blocks_of(attrs);
  auto block = [&](Value, std::span<const Value>, std::span<const Value> in) {
    RowScores scores = cross_entropy(logits_of(attrs, in[0], w), in[1]);
    return ScanBody{.carry = {}, .stack = {scores.log_z, scores.chosen}};
  };
  ScanResult done =
      scan(x.graph(), {.axis = "block", .length = blocks}, {}, all_in_blocks({x, targets}, blocks), block);
  return {out_of_blocks(done.stack[0], targets.shape()), out_of_blocks(done.stack[1], targets.shape())};
}

// dx in x's type and dw in float32, each of this device's part alone. Tokens behind the last one have cotangents 0.
std::vector<Value> grad_here(const FusedAttrs& attrs, std::span<const Value> in, Value targets) {
  const Value &x = in[0], &w = in[1];
  const int64_t blocks = blocks_of(attrs);
  auto block = [&](Value, std::span<const Value> carry, std::span<const Value> t) {
    Value logits = logits_of(attrs, t[0], w);
    Value d_logits = cross_entropy_grad(logits, t[1], {.log_z = t[2], .d_log_z = t[3], .d_chosen = t[4]});
    d_logits = convert(d_logits, x.dtype());
    return ScanBody{.carry = {carry[0] + dot(d_logits, t[0], "t", {.out = DType::kF32})},
                    .stack = {dot(d_logits, w, "v")}};
  };
  ScanResult done = scan(x.graph(), {.axis = "block", .length = blocks}, {zeros(x.graph(), {DType::kF32, w.shape()})},
                         all_in_blocks({x, targets, in[3], in[4], in[5]}, blocks), block);
  return {out_of_blocks(done.stack[0], targets.shape()), done.carry[0]};
}

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, in[0], in[1], in[2]);
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  std::vector<Value> d = grad_here(attrs, in, in[2]);
  return {d[0], convert(d[1], in[1].dtype())};
}

// ---- on a mesh ----
// Each device has its tokens and, where v is split, a part of each token's logits. w's model dimension is whole for the
// work; of its gradient each device keeps the part that it has of w, or all where w is not split over tokens' axes.

using MeshAxes = std::vector<std::string>;

struct HeadLayout {
  Sharding x, row, w, dw;
  MeshAxes vocab;   // over which v is split
  MeshAxes kept;    // over which the gradient's model dimension is scattered
  MeshAxes summed;  // the other axes of the tokens

  HeadLayout(const Node& node, const Partition& p) {
    const Shape &tokens = node.operands[2].shape(), &weight = node.operands[1].shape();
    const Sharding logits = p.activation(Shape{tokens[0], tokens[1], weight[0]});
    const std::vector<Sharding>& splits = node.attr<FusedAttrs>().shardings;
    row.dims = {logits.dims[0], logits.dims[1]};
    x.dims = {logits.dims[0], logits.dims[1], {}};
    vocab = logits.dims[2];
    const MeshAxes of_tokens = split_axes(row);
    if (!splits.empty() && splits[0].dims.size() == 2) {
      for (const std::string& a : splits[0].dims[1]) {
        if (std::find(of_tokens.begin(), of_tokens.end(), a) == of_tokens.end()) break;
        kept.push_back(a);
      }
    }
    for (const std::string& a : of_tokens) {
      if (std::find(kept.begin(), kept.end(), a) == kept.end()) summed.push_back(a);
    }
    w.dims = {vocab, {}};
    dw.dims = {vocab, kept};
  }

  // The targets as positions in the device's part of v.
  Value shifted(Value targets, Value local_w) const {
    if (vocab.empty()) return targets;
    return targets - device_index(targets.graph(), vocab) * local_w.size("v");
  }
};

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&) {
  HeadLayout l(node, p);
  ShardedForm form{.in = {l.x, l.w, l.row}, .out = {l.row, l.row}, .body = {}};
  form.body = [l, &node](std::span<const Value> local) -> std::vector<Value> {
    std::vector<Value> part = forward_here(node.attr<FusedAttrs>(), local[0], local[1], l.shifted(local[2], local[1]));
    if (l.vocab.empty()) return part;
    Value all = all_gather(expand(part[0], "part"), "part", l.vocab);
    return {logsumexp(all, "part"), all_reduce(part[1], l.vocab)};
  };
  return form;
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&) {
  HeadLayout l(node, p);
  ShardedForm form{.in = {l.x, l.w, l.row, l.row, l.row, l.row}, .out = {l.x, l.dw}, .body = {}};
  form.body = [l, &node](std::span<const Value> local) -> std::vector<Value> {
    std::vector<Value> d = grad_here(node.attr<FusedAttrs>(), local, l.shifted(local[2], local[1]));
    Value dw = all_reduce(reduce_scatter(d[1], "d", l.kept), l.summed);
    return {all_reduce(d[0], l.vocab), convert(dw, local[1].dtype())};
  };
  return form;
}

// ---- the two ops ----

const FusedOp kGrad{.name = "head_loss_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .forms = kPlainOpsEverywhere,
                    .shard = shard_grad};

void vjp(VjpContext& c) {
  Value targets = c.operand(2);
  auto cotangent = [&](int i) {
    Value d = c.cotangent(i);
    return d ? d : zeros(targets.graph(), c.node().results[static_cast<size_t>(i)]);
  };
  add_results_of(kGrad, c, {c.operand(0), c.operand(1), targets, c.result(0), cotangent(0), cotangent(1)}, {0, 1});
}

const FusedOp kForward{.name = "head_loss",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .forms = kPlainOpsEverywhere,
                       .shard = shard_forward};

}  // namespace

int64_t loss_blocks(const Shape& tokens, int64_t vocabulary, DType dtype, int64_t wanted, const Partition* partition,
                    int64_t summed_width) {
  Shape logits{tokens[0], tokens[1], {"v", vocabulary}};
  if (partition != nullptr) logits = local_shape(logits, partition->activation(logits), partition->mesh());
  const int64_t of_device = logits[0].size * logits[1].size;
  const int64_t bytes = TensorType{dtype, logits}.bytes();
  const int64_t sum_bytes = TensorType{DType::kF32, Shape{logits[2], {"d", summed_width}}}.bytes();
  const int64_t fewest = bytes <= sum_bytes ? 1 : (bytes + kLogitsBlockBytes - 1) / kLogitsBlockBytes;
  return std::clamp<int64_t>(wanted > 0 ? wanted : fewest, 1, of_device);
}

RowScores head_loss(Value x, Value w, Value targets, const HeadLossOptions& o, Where where) {
  FusedAttrs attrs{
      .ints = {o.blocks, o.logits_dtype == DType::kF32 ? 1 : 0}, .reals = {}, .shardings = {o.weight_split}};
  auto made = fused(x.graph(), kForward, {x, w, targets}, std::move(attrs), where);
  return {made[0], made[1]};
}

}  // namespace fathom
