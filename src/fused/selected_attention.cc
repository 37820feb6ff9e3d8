#include "fused/selected_attention.h"

#include <algorithm>

#include "fused/derivative.h"
#include "fused/indexed_blocks.h"
#include "fused/kernel_call.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands of both ops: q [b s h w], k [b t h w], v [b t h u], those of the indexer, cutoff [b s], tie [b s]; then
//   of the forward pass: keys [b s n];
//   of the derivative: lse [b h s], d_out [b s h u], delta [b h s].
constexpr int kIndex = 3, kCutoff = kIndex + static_cast<int>(IndexOperands::kCount), kTie = kCutoff + 1,
              kKeys = kTie + 1, kLse = kTie + 1, kDOut = kLse + 1, kDelta = kDOut + 1;

// ---- shape rules ----

void check(const InferContext& c) {
  check_query_and_key(c);
  check_index_operands(c, kIndex);
  const Shape &k = c.type(1).shape, &v = c.type(2).shape;
  if (v.names() != std::vector<std::string>{"b", "t", "h", "u"} || v[0] != k[0] || v[1] != k[1] || v[2] != k[2] ||
      c.type(2).dtype != c.type(0).dtype) {
    c.fail("values are [b t h u] beside the keys, of their type");
  }
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check(c);
  const Shape& q = c.type(0).shape;
  return {{c.type(0).dtype, Shape{q[0], q[1], q[2], c.type(2).shape[3]}}, {DType::kF32, Shape{q[0], q[2], q[1]}}};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check(c);
  return {c.type(0), c.type(1), c.type(2)};
}

// ---- composed references ----

// The operands cut into blocks of queries: those that make the index scores, then q, cutoff, tie.
struct Cut {
  IndexedBlocks n;
  std::vector<Value> stacks;
  Value keys, values;  // [b h t w], [b h t u]

  Cut(Graph& g, const std::vector<Value>& operands, const FusedAttrs& attrs)
      : n(g, IndexOperands(std::span(operands).subspan(kIndex)), attrs),
        stacks(n.stacks()),
        keys(transpose(operands[1], "b h t w")),
        values(transpose(operands[2], "b h t u")) {
    stacks.push_back(n.cut(operands[0], "b h s w"));
    stacks.push_back(n.cut(operands[kCutoff], "b s"));
    stacks.push_back(n.cut(operands[kTie], "b s"));
  }

  static constexpr size_t kQuery = IndexedBlocks::kStacks, kMore = kQuery + 3;
  // [b h s t] f32: the scores of a block; kMasked where a key is not chosen.
  Value scores(Value i, std::span<const Value> slice) const {
    const IndexedBlocks::Block block(i, slice);
    Value chosen = n.chosen(block, n.scores(block), slice[kQuery + 1], slice[kQuery + 2]);
    return fathom::scores(slice[kQuery], keys, chosen);
  }
};

std::vector<Value> reference_forward(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Cut cut(g, operands, attrs);
  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    Value part = cut.scores(i, slice);
    Value top = reduce_max(part, "t");
    Value p = exp(part - top);
    Value sum = reduce_sum(p, "t");
    Value out = dot(convert(p, cut.n.dtype()), cut.values, "t", {.out = DType::kF32});
    return ScanBody{.carry = {}, .stack = {convert(out / sum, cut.values.dtype()), top + log(sum)}};
  };
  auto done = scan(g, {.axis = "block", .length = cut.n.count()}, {}, cut.stacks, rows);
  return {cut.n.join(done.stack[0], "b s h u"), cut.n.join(done.stack[1], "b h s")};
}

// The formulas of fused/flash_attention.cc, over the chosen keys.
std::vector<Value> reference_grad(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Cut cut(g, operands, attrs);
  const DType dtype = operands[0].dtype();
  std::vector<Value> stacks = cut.stacks;
  stacks.push_back(cut.n.cut(operands[kLse], "b h s"));
  stacks.push_back(cut.n.cut(operands[kDOut], "b h s u"));
  stacks.push_back(cut.n.cut(operands[kDelta], "b h s"));
  auto rows = [&](Value i, std::span<const Value> carry, std::span<const Value> slice) {
    Value q = slice[Cut::kQuery], lse = slice[Cut::kMore], d_out = slice[Cut::kMore + 1], delta = slice[Cut::kMore + 2];
    Value p = exp(cut.scores(i, slice) - lse);
    Value d_v = carry[1] + dot(convert(p, dtype), d_out, "s", {.out = DType::kF32});
    Value d_p = dot(d_out, cut.values, "u", {.out = DType::kF32});
    Value d_s = convert(p * (d_p - delta), dtype);
    Value d_k = carry[0] + dot(d_s, q, "s", {.out = DType::kF32});
    return ScanBody{.carry = {d_k, d_v}, .stack = {dot(d_s, cut.keys, "t")}};
  };
  auto done =
      scan(g, {.axis = "block", .length = cut.n.count()},
           {zeros(g, {DType::kF32, cut.keys.shape()}), zeros(g, {DType::kF32, cut.values.shape()})}, stacks, rows);
  return {cut.n.join(done.stack[0], "b s h w"), transpose(convert(done.carry[0], dtype), "b t h w"),
          transpose(convert(done.carry[1], dtype), "b t h u")};
}

// ---- the forms ----

std::vector<Value> kernel_forward(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kSelectedAttention, 3, reason)) return {};
  CustomCall call{.target = std::string(abi::kSelectedAttention), .results = c.node().results};
  const std::vector<Value>& in = c.operands();
  return custom_call(c.graph(), call, {in[0], in[1], in[2], in[kKeys]});
}

std::vector<Value> kernel_grad(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kSelectedAttentionGrad, 3, reason)) return {};
  const std::vector<Value>& in = c.operands();
  Value keys = chosen_keys(c.graph(), std::span(in).subspan(kIndex), in[kCutoff], in[kTie],
                           top_k_of(c.node().attr<FusedAttrs>()));
  CustomCall call{.target = std::string(abi::kSelectedAttentionGrad), .results = c.node().results};
  return custom_call(c.graph(), call, {in[0], in[1], in[2], keys, in[kLse], in[kDOut], in[kDelta]});
}

// ---- cost ----

// Products of a query with a key or value of one element, over all rows and heads: the kernel meets the chosen keys
// alone.
double pairs(const Node& node, const Target& target) {
  const Shape& q = node.operands[0].shape();
  const int64_t keys =
      target.hardware == Hardware::kCpu ? top_k_of(node.attr<FusedAttrs>()) : node.operands[1].size("t");
  return static_cast<double>(q[0].size * q[1].size * q[2].size) * static_cast<double>(keys);
}

double width(const Node& node, size_t operand) { return static_cast<double>(node.operands[operand].shape()[3].size); }

// The scores of the indexer, made again.
double index_flops(const Node& node, const Target& target, double kernel_part) {
  const double part = target.hardware == Hardware::kCpu ? kernel_part : 1;
  return 2 * part * static_cast<double>(node.operands[kIndex].shape().elements()) *
         static_cast<double>(node.operands[1].size("t"));
}

double forward_flops(const Node& node, const Target& target) {
  return 2 * pairs(node, target) * (width(node, 0) + width(node, 2)) + index_flops(node, target, 0);
}

double grad_flops(const Node& node, const Target& target) {
  return 2 * pairs(node, target) * (3 * width(node, 0) + 2 * width(node, 2)) + index_flops(node, target, 0.5);
}

std::optional<ShardedForm> shard(const Node& node, const Partition& p, const Target&) {
  return shard_indexed(node, p, {.first = kIndex + 4});
}

// ---- the ops ----

const FusedOp kGrad{.name = "selected_attention_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .forms = {.cpu = kernel_grad, .gpu = plain_ops, .tpu = plain_ops},
                    .shard = shard,
                    .flops = grad_flops};

const FusedOp kForward{.name = "selected_attention",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = nullptr,
                       .forms = {.cpu = kernel_forward, .gpu = plain_ops, .tpu = plain_ops},
                       .shard = shard,
                       .flops = forward_flops};

// The output with its derivative, as in fused/flash_attention.cc: behind the operands of the derivative up to `tie`
// stand out and lse.
constexpr int kOut = kTie + 1;

std::vector<TensorType> infer_output(const InferContext& c) { return {c.type(kOut)}; }

std::vector<Value> pass_output(const std::vector<Value>& operands, const FusedAttrs&, Graph&) {
  return {operands[static_cast<size_t>(kOut)]};
}

// delta = sum over u of d_out * out
void vjp_output(VjpContext& c) {
  Value d_out = c.cotangent();
  if (!d_out) return;
  Value delta = reduce_sum(convert(d_out, DType::kF32) * convert(c.operand(kOut), DType::kF32), "u");
  std::vector<Value> operands;
  for (int i = 0; i <= kTie; ++i) operands.push_back(c.operand(i));
  operands.insert(operands.end(), {c.operand(kOut + 1), d_out, transpose(delta, "b h s")});
  add_results_of(kGrad, c, std::move(operands), {0, 1, 2});
}

const FusedOp kOutput{.name = "selected_attention_output",
                      .infer = infer_output,
                      .reference = pass_output,
                      .vjp = vjp_output,
                      .forms = kPlainOpsEverywhere};

}  // namespace

AttentionOut selected_attention(const SelectedAttentionInputs& in, const IndexerInputs& index,
                                const Selection& selection, const SelectionOptions& options, const std::string& tag,
                                Where where) {
  Graph& g = in.q.graph();
  FusedAttrs attrs{.ints = {options.block, options.top_k}};
  std::vector<Value> operands{in.q,
                              in.k,
                              in.v,
                              index.q,
                              index.k,
                              index.weights,
                              in.segments,
                              constant(g, 0, {DType::kS32, {}}, where),
                              selection.cutoff,
                              selection.tie};
  std::vector<Value> with_keys = operands;
  with_keys.push_back(selection.keys);
  auto made = fused(g, kForward, std::move(with_keys), attrs, where);
  Value out = fathom::tag(made[0], tag, where), lse = fathom::tag(made[1], tag, where);
  operands.insert(operands.end(), {out, lse});
  return {fused(g, kOutput, std::move(operands), attrs, where)[0], stop_gradient(lse, where)};
}

}  // namespace fathom
