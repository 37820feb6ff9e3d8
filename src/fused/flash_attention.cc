#include "fused/flash_attention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fused/derivative.h"
#include "fused/flash_attention_gpu.h"
#include "fused/flash_ring.h"
#include "fused/flash_steps.h"
#include "fused/kernel_call.h"
#include "graph/manual.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// FusedAttrs::ints of both ops: {block}.
// Operands: q [b s h w], k [b t h w], v [b t h u], segments [b s]; the derivative adds lse [b h s], d_out [b s h u],
// delta [b h s].

// ---- shape rules ----

void check_heads(const InferContext& c) {
  static constexpr std::string_view kForm =
      "flash_attention takes q [b s h w], k [b t h w], v [b t h u], segments [b s]";
  auto names = [&](int i) { return c.type(i).shape.names(); };
  using Names = std::vector<std::string>;
  if (names(0) != Names{"b", "s", "h", "w"} || names(1) != Names{"b", "t", "h", "w"} ||
      names(2) != Names{"b", "t", "h", "u"} || names(3) != Names{"b", "s"}) {
    c.fail(kForm);
  }
  const Shape &q = c.type(0).shape, &k = c.type(1).shape, &v = c.type(2).shape, &segments = c.type(3).shape;
  bool sizes = q[0].size == k[0].size && q[1].size == k[1].size && q[2] == k[2] && q[3] == k[3] && k[0] == v[0] &&
               k[1] == v[1] && k[2] == v[2] && segments[0] == q[0] && segments[1] == q[1];
  if (!sizes) c.fail("flash_attention: sizes of q, k, v and segments do not agree");
  if (c.type(1).dtype != c.type(0).dtype || c.type(2).dtype != c.type(0).dtype || c.type(3).dtype != DType::kS32) {
    c.fail("flash_attention needs q, k, v of one type and s32 segments");
  }
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check_heads(c);
  const Shape& q = c.type(0).shape;
  return {{c.type(0).dtype, Shape{q[0], q[1], q[2], c.type(2).shape[3]}}, {DType::kF32, Shape{q[0], q[2], q[1]}}};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check_heads(c);
  return {c.type(0), c.type(1), c.type(2)};
}

// ---- composed references ----

std::vector<Value> reference_forward(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Value &q = operands[0], &v = operands[2], &segments = operands[3];
  Blocks n(g, q, attrs);
  const KeyBlocks blocks = key_blocks(n, operands);
  Shape row{q.shape()[0], q.shape()[2], {"s", n.block}};
  Shape wide{row[0], row[1], row[2], v.shape()[3]};

  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    const SoftmaxState none{.top = constant(g, abi::kMasked, {DType::kF32, row}),
                            .sum = zeros(g, {DType::kF32, row}),
                            .out = zeros(g, {DType::kF32, wide})};
    // Key blocks beyond the diagonal are never visited.
    const SoftmaxState done = meet_keys(n, {i, slice[0], slice[1]}, blocks, i, none);
    return ScanBody{.carry = {}, .stack = {convert(done.out / done.sum, n.dtype), done.top + log(done.sum)}};
  };
  auto done = scan(g, {.axis = "block", .length = n.count}, {},
                   {n.cut(q, "s", "b h s w"), n.cut(segments, "s", "b s", kPaddedQuery)}, rows);
  return {n.join(done.stack[0], "s", "b s h u"), n.join(done.stack[1], "s", "b h s")};
}

std::vector<Value> reference_grad(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Value &q = operands[0], &v = operands[2];
  Blocks n(g, q, attrs);
  const QueryBlocks queries = query_blocks(n, operands);
  Shape key{q.shape()[0], q.shape()[2], {"t", n.block}, q.shape()[3]};
  Shape value{key[0], key[1], key[2], v.shape()[3]};

  auto columns = [&](Value j, std::span<const Value> carry, std::span<const Value> slice) {
    // Query blocks before the diagonal do not see block j.
    const FlashGradients d =
        meet_queries(n, j, queries, {.keys = slice[0], .values = slice[1], .segments = slice[2]}, j,
                     {.q = carry[0], .k = zeros(g, {DType::kF32, key}), .v = zeros(g, {DType::kF32, value})});
    return ScanBody{.carry = {d.q}, .stack = {convert(d.k, n.dtype), convert(d.v, n.dtype)}};
  };
  const KeyBlocks keys = key_blocks(n, operands);
  auto done = scan(g, {.axis = "block", .length = n.count}, {zeros(g, {DType::kF32, queries.queries.shape()})},
                   {keys.keys, keys.values, keys.segments}, columns);
  return {n.join(convert(done.carry[0], n.dtype), "s", "b s h w"), n.join(done.stack[0], "t", "b t h w"),
          n.join(done.stack[1], "t", "b t h u")};
}

// ---- the forms ----

std::vector<Value> kernel_forward(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kFlashAttention, 1, reason)) return {};
  return call_kernel(c, abi::kFlashAttention);
}

std::vector<Value> kernel_grad(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kFlashAttentionGrad, 1, reason)) return {};
  return call_kernel(c, abi::kFlashAttentionGrad);
}

std::vector<Value> gpu_forward(LoweringContext& c, std::string&) {
  return flash_attention_gpu(c.operands(), c.graph());
}

std::vector<Value> gpu_grad(LoweringContext& c, std::string&) {
  return flash_attention_grad_gpu(c.operands(), c.graph());
}

// ---- cost ----

// Products of a query with a key or value of one element, over all rows and heads: all pairs in the form for GPUs,
// elsewhere the blocks up to the diagonal.
double pairs(const Node& node, const Target& target) {
  const Shape& q = node.operands[0].shape();
  auto length = static_cast<double>(q[1].size);
  double block = std::min(length, static_cast<double>(node.attr<FusedAttrs>().ints.at(0)));
  double keys = target.hardware == Hardware::kGpu ? length : (length + block) / 2;
  return static_cast<double>(q[0].size * q[2].size) * length * keys;
}

double width(const Node& node, size_t operand) { return static_cast<double>(node.operands[operand].shape()[3].size); }

// Scores and weighted values.
double forward_flops(const Node& node, const Target& target) {
  return 2 * pairs(node, target) * (width(node, 0) + width(node, 2));
}

// Scores again, d_q and d_k; d_v and the weights' gradient.
double grad_flops(const Node& node, const Target& target) {
  return 2 * pairs(node, target) * (3 * width(node, 0) + 2 * width(node, 2));
}

// ---- on a mesh ----
// Rows and heads stay where they are. Over the axes that split the sequence, devices exchange sequence for heads
// (DeepSpeed Ulysses): each has whole rows of a part of its heads, so that the causal half is shared evenly. Where the
// heads cannot be split, keys and values go round instead (fused/flash_ring.h).

struct HeadExchange {
  Sharding split(const Shape& shape) const {
    Sharding out;
    for (const std::string& axis : shape.names()) {
      out.dims.push_back(axis == "b" ? rows : axis == "h" ? heads : axis == "s" || axis == "t" ? places : none);
    }
    return out;
  }
  // Between a part of the places of all the device's heads and all places of a part of them.
  Value gather_places(Value x) const {
    if (!x.has("h")) return all_gather(x, place_axis(x), places);
    return all_to_all(x, "h", place_axis(x), places);
  }
  Value scatter_places(Value x) const { return all_to_all(x, place_axis(x), "h", places); }

  std::vector<std::string> rows, heads, places, none;

 private:
  static std::string_view place_axis(Value x) { return x.has("s") ? "s" : "t"; }
};

// Whether keys and values go round. Throws ConfigError where tensor parallelism cannot split the heads.
bool goes_round(const Node& node, const Partition& p, const HeadExchange& exchange) {
  const int64_t heads = node.operands[0].size("h"), parts = p.devices(exchange.heads);
  if (heads % parts != 0) {
    throw ConfigError(fmt::format("attention=flash: {} heads cannot be split over {} devices ({})", heads, parts,
                                  fmt::join(exchange.heads, ", ")));
  }
  return heads % (parts * p.devices(exchange.places)) != 0;
}

// `round`: the op of one device's queries and the keys that come round to it.
std::optional<ShardedForm> shard(const Node& node, const Partition& p, RingForm* round) {
  HeadExchange exchange{p.activation_axes("b"), p.activation_axes("h"), p.activation_axes("s"), {}};
  const bool ring = goes_round(node, p, exchange);
  ShardedForm form;
  for (const Value& v : node.operands) form.in.push_back(exchange.split(v.shape()));
  for (const TensorType& r : node.results) form.out.push_back(exchange.split(r.shape));
  form.body = [exchange, ring, round, &node](std::span<const Value> local) {
    if (ring) return round(local, node.attr<FusedAttrs>(), exchange.places);
    std::vector<Value> whole;
    for (const Value& v : local) whole.push_back(exchange.gather_places(v));
    std::vector<Value> out = on_parts(node, std::move(whole));
    for (Value& v : out) v = exchange.scatter_places(v);
    return out;
  };
  return form;
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&) {
  return shard(node, p, ring_attention);
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&) {
  return shard(node, p, ring_attention_grad);
}

// ---- the two ops ----

const FusedOp kGrad{.name = "flash_attention_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .forms = {.cpu = kernel_grad, .gpu = gpu_grad, .tpu = nullptr},
                    .shard = shard_grad,
                    .flops = grad_flops};

const FusedOp kForward{.name = "flash_attention",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = nullptr,
                       .forms = {.cpu = kernel_forward, .gpu = gpu_forward, .tpu = nullptr},
                       .shard = shard_forward,
                       .flops = forward_flops};

// ---- the output with its derivative ----
// Operands: q, k, v, segments, out, lse; the result is out. The derivative starts from the operands out and lse, which
// may be tagged values that a remat region has kept, and nothing flows back into the op that made them.

std::vector<TensorType> infer_output(const InferContext& c) { return {c.type(4)}; }

std::vector<Value> pass_output(const std::vector<Value>& operands, const FusedAttrs&, Graph&) { return {operands[4]}; }

// delta = sum over u of d_out * out
void vjp_output(VjpContext& c) {
  Value d_out = c.cotangent();
  if (!d_out) return;
  Value delta = reduce_sum(convert(d_out, DType::kF32) * convert(c.operand(4), DType::kF32), "u");
  std::vector<Value> operands{
      c.operand(0), c.operand(1), c.operand(2), c.operand(3), c.operand(5), d_out, transpose(delta, "b h s")};
  add_results_of(kGrad, c, std::move(operands), {0, 1, 2});
}

const FusedOp kOutput{.name = "flash_attention_output",
                      .infer = infer_output,
                      .reference = pass_output,
                      .vjp = vjp_output,
                      .forms = kPlainOpsEverywhere};

}  // namespace

Value flash_attention(Value q, Value k, Value v, Value segments, const FlashOptions& options, Where where) {
  FusedAttrs attrs{.ints = {options.block}};
  auto made = fused(q.graph(), kForward, {q, k, v, segments}, attrs, where);
  Value out = tag(made[0], options.tag, where);
  Value lse = tag(made[1], options.tag, where);
  return fused(q.graph(), kOutput, {q, k, v, segments, out, lse}, attrs, where)[0];
}

}  // namespace fathom
