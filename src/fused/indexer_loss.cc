#include "fused/indexer_loss.h"

#include "fused/derivative.h"
#include "fused/indexed_blocks.h"
#include "fused/kernel_call.h"
#include "graph/manual.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands of both ops: q [b s h w], k [b t h w], those of the indexer; then, over a selection,
//   in the forward pass: cutoff [b s], tie [b s], lse [b h s], keys [b s n];
//   in the derivative:   cutoff, tie, lse;
// and in the derivative d_loss [b s] f32 last.
constexpr size_t kIndex = 2, kCutoff = kIndex + IndexOperands::kCount, kTie = kCutoff + 1, kLse = kTie + 1,
                 kKeys = kLse + 1;

bool over_selection(const std::vector<Value>& operands) { return operands.size() > kCutoff + 1; }

void check(const InferContext& c) {
  check_query_and_key(c);
  check_index_operands(c, kIndex);
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check(c);
  const Shape& q = c.type(0).shape;
  return {{DType::kF32, Shape{q[0], q[1]}}};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check(c);
  return {c.type(kIndex), c.type(kIndex + 1), c.type(kIndex + 2)};
}

// ---- composed references ----

// One block of queries: its two distributions over the keys that count.
struct Distributions {
  Value target;      // p, [b s t] f32
  Value prediction;  // r, [b s t] f32
  Value products;    // [b s hi t] f32: of the indexer's queries and keys
};

// The operands cut into blocks of queries.
struct Cut {
  IndexedBlocks n;
  bool selected;
  std::vector<Value> stacks;
  Value keys;  // [b h t w]
  double heads;
  std::vector<std::string> head_axes;  // of the mesh: devices that hold the other heads

  Cut(Graph& g, const std::vector<Value>& operands, const FusedAttrs& attrs)
      : n(g, IndexOperands(std::span(operands).subspan(kIndex)), attrs),
        selected(over_selection(operands)),
        stacks(n.stacks()),
        keys(transpose(operands[1], "b h t w")),
        heads(static_cast<double>(operands[0].size("h"))) {
    stacks.push_back(n.cut(operands[0], "b h s w"));
    if (selected) {
      stacks.push_back(n.cut(operands[kCutoff], "b s"));
      stacks.push_back(n.cut(operands[kTie], "b s"));
    }
    if (attrs.shardings.empty()) return;
    head_axes = attrs.shardings[0].dims[0];
    heads *= static_cast<double>(g.partition->devices(head_axes));
  }

  Distributions distributions(Value i, std::span<const Value> slice) const {
    const IndexedBlocks::Block block(i, slice);
    const size_t own = IndexedBlocks::kStacks;
    const IndexedBlocks::Scores of_indexer = n.scores(block);
    Value chosen = selected ? n.chosen(block, of_indexer, slice[own + 1], slice[own + 2]) : n.seen(block);
    Value target = reduce_sum(softmax(scores(slice[own], keys, chosen), "t"), "h");
    if (!head_axes.empty()) target = all_reduce(target, head_axes);
    target = target / heads;
    target = target / (reduce_sum(target, "t") + kIndexerLossEpsilon);
    // Said with zeros: a block's rows beyond the last query have nothing chosen.
    target = select(chosen, target, 0);
    Value prediction = softmax(select(chosen, of_indexer.sums, abi::kMasked), "t");
    return {target, select(chosen, prediction, 0), of_indexer.products};
  }
};

std::vector<Value> reference_forward(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Cut cut(g, operands, attrs);
  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    auto [p, r, products] = cut.distributions(i, slice);
    Value loss = reduce_sum(p * (log(p + kIndexerLossEpsilon) - log(r + kIndexerLossEpsilon)), "t");
    return ScanBody{.carry = {}, .stack = {loss}};
  };
  auto done = scan(g, {.axis = "block", .length = cut.n.count()}, {}, cut.stacks, rows);
  return {cut.n.join(done.stack[0], "b s")};
}

// With g = d_loss * -p / (r + eps): dI = r (g - sum over t of r g); then, where a product is positive,
// d product = dI weight, and d weight = sum over t of dI product.
std::vector<Value> reference_grad(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Cut cut(g, operands, attrs);
  const Value& ik = operands[kIndex + 1];
  std::vector<Value> stacks = cut.stacks;
  stacks.push_back(cut.n.cut(operands.back(), "b s"));
  auto rows = [&](Value i, std::span<const Value> carry, std::span<const Value> slice) {
    const IndexedBlocks::Block block(i, slice);
    auto [p, r, products] = cut.distributions(i, slice);
    Value d_r = -(p / (r + kIndexerLossEpsilon)) * slice.back();
    Value d_scores = r * (d_r - reduce_sum(r * d_r, "t"));
    Value d_weights = dot(d_scores, maximum(products, 0), "t", {.out = DType::kF32});
    Value d_products = select(greater(products, 0), d_scores * broadcast(block.weights, products.shape()), 0);
    d_products = convert(d_products, ik.dtype());
    Value d_k = carry[0] + dot(d_products, block.q, "s hi", {.out = DType::kF32});
    return ScanBody{.carry = {d_k}, .stack = {dot(d_products, ik, "t"), d_weights}};
  };
  auto done = scan(g, {.axis = "block", .length = cut.n.count()}, {zeros(g, {DType::kF32, ik.shape()})}, stacks, rows);
  return {cut.n.join(done.stack[0], "b s hi di"), convert(done.carry[0], ik.dtype()),
          cut.n.join(done.stack[1], "b s hi")};
}

// ---- the forms: kernels go over chosen keys, and over all heads ----

std::vector<Value> kernel_forward(LoweringContext& c, std::string& reason) {
  if (!over_selection(c.operands())) return plain_ops(c, reason);
  if (!takes_kernel(c, abi::kSelectedIndexerLoss, 2, reason)) return {};
  CustomCall call{.target = std::string(abi::kSelectedIndexerLoss), .results = c.node().results};
  const std::vector<Value>& in = c.operands();
  return custom_call(c.graph(), call, {in[0], in[1], in[kLse], in[kKeys], in[kIndex], in[kIndex + 1], in[kIndex + 2]});
}

std::vector<Value> kernel_grad(LoweringContext& c, std::string& reason) {
  if (!over_selection(c.operands())) return plain_ops(c, reason);
  if (!takes_kernel(c, abi::kSelectedIndexerLossGrad, 2, reason)) return {};
  const std::vector<Value>& in = c.operands();
  Value keys = chosen_keys(c.graph(), std::span(in).subspan(kIndex), in[kCutoff], in[kTie],
                           top_k_of(c.node().attr<FusedAttrs>()));
  CustomCall call{.target = std::string(abi::kSelectedIndexerLossGrad), .results = c.node().results};
  return custom_call(c.graph(), call,
                     {in[0], in[1], in[kLse], keys, in[kIndex], in[kIndex + 1], in[kIndex + 2], in.back()});
}

// ---- cost: scores of attention and of the indexer, all pairs where no kernel meets the chosen ones alone ----

double flops(const Node& node, const Target& target, double index_products) {
  const Shape& q = node.operands[0].shape();
  const Shape& index = node.operands[kIndex].shape();
  const bool few = target.hardware == Hardware::kCpu && over_selection(node.operands);
  const auto keys = static_cast<double>(few ? top_k_of(node.attr<FusedAttrs>()) : node.operands[1].size("t"));
  return 2 * keys * (static_cast<double>(q.elements()) + index_products * static_cast<double>(index.elements()));
}

double forward_flops(const Node& node, const Target& target) { return flops(node, target, 1); }
double grad_flops(const Node& node, const Target& target) { return flops(node, target, 3); }

std::optional<ShardedForm> shard(const Node& node, const Partition& p, const Target& target) {
  const bool kernel = over_selection(node.operands) && target.has(abi::kSelectedIndexerLoss);
  return shard_indexed(node, p, {.first = kIndex + 4, .whole_heads = kernel});
}

// ---- the two ops ----

const FusedOp kGrad{.name = "indexer_loss_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .forms = {.cpu = kernel_grad, .gpu = plain_ops, .tpu = plain_ops},
                    .shard = shard,
                    .flops = grad_flops};

void vjp(VjpContext& c) {
  Value d_loss = c.cotangent();
  if (!d_loss) return;
  const size_t count = over_selection(c.node().operands) ? kKeys : kCutoff;
  std::vector<Value> operands;
  for (size_t i = 0; i < count; ++i) operands.push_back(c.operand(static_cast<int>(i)));
  operands.push_back(d_loss);
  add_results_of(kGrad, c, std::move(operands), {kIndex, kIndex + 1, kIndex + 2});
}

const FusedOp kForward{.name = "indexer_loss",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .forms = {.cpu = kernel_forward, .gpu = plain_ops, .tpu = plain_ops},
                       .shard = shard,
                       .flops = forward_flops};

}  // namespace

Value indexer_loss(Value q, Value k, Value segments, const IndexerInputs& index,
                   const std::optional<ChosenKeys>& chosen, const SelectionOptions& options, Where where) {
  Graph& g = q.graph();
  std::vector<Value> operands{
      q, k, index.q, index.k, index.weights, segments, constant(g, 0, {DType::kS32, {}}, where)};
  if (chosen) {
    const Selection& s = chosen->selection;
    operands.insert(operands.end(), {s.cutoff, s.tie, chosen->lse, s.keys});
  }
  return fused(g, kForward, std::move(operands), {.ints = {options.block, options.top_k}}, where)[0];
}

}  // namespace fathom
