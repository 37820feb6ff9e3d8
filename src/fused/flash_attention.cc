#include "fused/flash_attention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "graph/fused_op.h"
#include "graph/manual.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// FusedAttrs::ints of both ops: {block}.
// Operands: q [b s h w], k [b t h w], v [b t h u], segments [b s]; the derivative adds lse [b h s], d_out [b s h u],
// delta [b h s].

// The score of a key that a query does not see. Finite: a row whose first blocks are all masked must not make NaN; what
// it has summed up by then is multiplied by exp(kMasked - real maximum) = 0.
constexpr double kMasked = -0.7 * 3.4028234663852886e38;
// Segment numbers of the rows that fill up the last block: they see nothing and nobody sees them.
constexpr double kPaddedQuery = -2;
constexpr double kPaddedKey = -1;

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

struct Blocks {
  Graph& g;
  int64_t length, block, count;
  DType dtype;

  Blocks(Graph& graph, const Value& q, const FusedAttrs& attrs)
      : g(graph),
        length(q.size("s")),
        block(std::min(attrs.ints.at(0), length)),
        count((length + block - 1) / block),
        dtype(q.dtype()) {}

  // x cut along `axis` into blocks, in the order "block <rest>".
  Value cut(Value x, std::string_view axis, std::string_view rest, double fill = 0) const {
    x = pad(x, axis, 0, count * block - length, fill);
    x = split_axis(x, axis, {{"block", count}, {std::string(axis), block}});
    return transpose(x, fmt::format("block {}", rest));
  }
  // The inverse: blocks side by side again, in the order `names`, without the padding.
  Value join(Value x, std::string_view axis, std::string_view names) const {
    x = merge_axes(x, fmt::format("block {}", axis), axis);
    return slice(transpose(x, names), axis, 0, length);
  }
  Value at(Value blocks, Value i) const { return dynamic_index(blocks, "block", i); }
  Value s32(double value) const { return constant(g, value, {DType::kS32, {}}); }

  // [b s t]: whether query s of block i sees key t of block j.
  Value visible(Value i, Value j, Value segments_q, Value segments_k) const {
    Shape pair{{"s", block}, {"t", block}};
    Value query = iota(g, DType::kS32, pair, "s") + i * block;
    Value key = iota(g, DType::kS32, pair, "t") + j * block;
    Shape all{segments_q.shape()[0], pair[0], pair[1]};
    Value same = equal(broadcast(segments_q, all), broadcast(segments_k, all));
    return logical_and(same, broadcast(less_equal(key, query), all));
  }
};

// Scores of a block, f32 [b h s t]; what is not visible is kMasked.
Value scores(Value q, Value k, Value visible) {
  Value s = dot(q, k, "w", {.out = DType::kF32});
  return select(broadcast(visible, s.shape()), s, kMasked);
}

Value segments_of_keys(Value segments) { return rename(segments, "s", "t"); }

std::vector<Value> reference_forward(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Value &q = operands[0], &k = operands[1], &v = operands[2], &segments = operands[3];
  Blocks n(g, q, attrs);
  Value keys = n.cut(k, "t", "b h t w"), values = n.cut(v, "t", "b h t u");
  Value segments_k = n.cut(segments_of_keys(segments), "t", "b t", kPaddedKey);
  Shape row{q.shape()[0], q.shape()[2], {"s", n.block}};
  Shape wide{row[0], row[1], row[2], v.shape()[3]};

  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    // State: j, running maximum, running sum, running output (not yet divided by the sum).
    std::vector<Value> state{n.s32(0), constant(g, kMasked, {DType::kF32, row}), zeros(g, {DType::kF32, row}),
                             zeros(g, {DType::kF32, wide})};
    // Key blocks beyond the diagonal are never visited.
    state = while_loop(
        g, state, [&](std::span<const Value> s) { return less_equal(s[0], i); },
        [&](std::span<const Value> s) {
          Value j = s[0];
          Value part = scores(slice[0], n.at(keys, j), n.visible(i, j, slice[1], n.at(segments_k, j)));
          Value top = maximum(s[1], reduce_max(part, "t"));
          Value p = exp(part - top);
          Value shrink = exp(s[1] - top);
          Value sum = s[2] * shrink + reduce_sum(p, "t");
          Value out = s[3] * shrink + dot(convert(p, n.dtype), n.at(values, j), "t", {.out = DType::kF32});
          return std::vector<Value>{j + 1, top, sum, out};
        });
    return ScanBody{.carry = {}, .stack = {convert(state[3] / state[2], n.dtype), state[1] + log(state[2])}};
  };
  auto done = scan(g, {.axis = "block", .length = n.count}, {},
                   {n.cut(q, "s", "b h s w"), n.cut(segments, "s", "b s", kPaddedQuery)}, rows);
  return {n.join(done.stack[0], "s", "b s h u"), n.join(done.stack[1], "s", "b h s")};
}

// With p = exp(score - lse):  dv = p^T do,  dp = do v^T,  ds = p (dp - delta),  dq = ds k,  dk = ds^T q.
std::vector<Value> reference_grad(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Value &q = operands[0], &k = operands[1], &v = operands[2], &segments = operands[3];
  Blocks n(g, q, attrs);
  Value queries = n.cut(q, "s", "b h s w"), d_outs = n.cut(operands[5], "s", "b h s u");
  Value lses = n.cut(operands[4], "s", "b h s"), deltas = n.cut(operands[6], "s", "b h s");
  Value segments_q = n.cut(segments, "s", "b s", kPaddedQuery);
  Shape key{q.shape()[0], q.shape()[2], {"t", n.block}, q.shape()[3]};
  Shape value{key[0], key[1], key[2], v.shape()[3]};

  auto columns = [&](Value j, std::span<const Value> carry, std::span<const Value> slice) {
    Value k_j = slice[0], v_j = slice[1], segments_k = slice[2];
    // State: i, dq of all blocks, dk and dv of block j. Query blocks before the diagonal do not see block j.
    std::vector<Value> state{j, carry[0], zeros(g, {DType::kF32, key}), zeros(g, {DType::kF32, value})};
    state = while_loop(
        g, state, [&](std::span<const Value> s) { return less(s[0], n.s32(static_cast<double>(n.count))); },
        [&](std::span<const Value> s) {
          Value i = s[0], q_i = n.at(queries, i), d_out = n.at(d_outs, i);
          Value part = scores(q_i, k_j, n.visible(i, j, n.at(segments_q, i), segments_k));
          Value p = exp(part - n.at(lses, i));
          Value d_v = s[3] + dot(convert(p, n.dtype), d_out, "s", {.out = DType::kF32});
          Value d_p = dot(d_out, v_j, "u", {.out = DType::kF32});
          Value d_s = convert(p * (d_p - n.at(deltas, i)), n.dtype);
          Value d_k = s[2] + dot(d_s, q_i, "s", {.out = DType::kF32});
          Value d_q = n.at(s[1], i) + dot(d_s, k_j, "t", {.out = DType::kF32});
          return std::vector<Value>{i + 1, dynamic_update_slice(s[1], expand(d_q, "block"), "block", i), d_k, d_v};
        });
    return ScanBody{.carry = {state[1]}, .stack = {convert(state[2], n.dtype), convert(state[3], n.dtype)}};
  };
  auto done = scan(
      g, {.axis = "block", .length = n.count}, {zeros(g, {DType::kF32, queries.shape()})},
      {n.cut(k, "t", "b h t w"), n.cut(v, "t", "b h t u"), n.cut(segments_of_keys(segments), "t", "b t", kPaddedKey)},
      columns);
  return {n.join(convert(done.carry[0], n.dtype), "s", "b s h w"), n.join(done.stack[0], "t", "b t h w"),
          n.join(done.stack[1], "t", "b t h u")};
}

// ---- the form for GPUs ----
// A block of queries meets all keys at once: the length of the loop is known, where the references' inner loop over
// the keys up to the diagonal costs a round trip to the host at each turn. Half of the scores are computed to be
// masked.

// Queries of a block: large products, and scores that stay far below a gigabyte a row of 16 heads and 4,096 keys.
constexpr int64_t kGpuQueries = 512;

// x [b t h *] as [b h t *].
Value heads_first(Value x) {
  const std::vector<std::string> n = x.shape().names();
  return transpose(x, fmt::format("{} {} {} {}", n[0], n[2], n[1], n[3]));
}

// [b s t]: whether query s of block i sees key t.
Value visible_to_block(const Blocks& n, Value i, Value segments_q, Value segments_k) {
  Shape pair{{"s", n.block}, {"t", n.length}};
  Shape all{segments_q.shape()[0], pair[0], pair[1]};
  Value query = iota(n.g, DType::kS32, pair, "s") + i * n.block;
  Value causal = less_equal(iota(n.g, DType::kS32, pair, "t"), query);
  return logical_and(equal(broadcast(segments_q, all), broadcast(segments_k, all)), broadcast(causal, all));
}

std::vector<Value> gpu_forward(const std::vector<Value>& operands, Graph& g) {
  const Value &q = operands[0], &segments = operands[3];
  Blocks n(g, q, {.ints = {kGpuQueries}});
  Value keys = heads_first(operands[1]), values = heads_first(operands[2]), segments_k = segments_of_keys(segments);
  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    Value part = scores(slice[0], keys, visible_to_block(n, i, slice[1], segments_k));
    Value top = reduce_max(part, "t");
    Value p = exp(part - top);
    Value sum = reduce_sum(p, "t");
    Value out = dot(convert(p, n.dtype), values, "t", {.out = DType::kF32});
    return ScanBody{.carry = {}, .stack = {convert(out / sum, n.dtype), top + log(sum)}};
  };
  auto done = scan(g, {.axis = "block", .length = n.count}, {},
                   {n.cut(q, "s", "b h s w"), n.cut(segments, "s", "b s", kPaddedQuery)}, rows);
  return {n.join(done.stack[0], "s", "b s h u"), n.join(done.stack[1], "s", "b h s")};
}

// The formulas of reference_grad.
std::vector<Value> gpu_grad(const std::vector<Value>& operands, Graph& g) {
  const Value &q = operands[0], &segments = operands[3];
  Blocks n(g, q, {.ints = {kGpuQueries}});
  Value keys = heads_first(operands[1]), values = heads_first(operands[2]), segments_k = segments_of_keys(segments);
  auto rows = [&](Value i, std::span<const Value> carry, std::span<const Value> slice) {
    Value q_i = slice[0], d_out = slice[2];
    Value p = exp(scores(q_i, keys, visible_to_block(n, i, slice[1], segments_k)) - slice[3]);
    Value d_v = carry[1] + dot(convert(p, n.dtype), d_out, "s", {.out = DType::kF32});
    Value d_p = dot(d_out, values, "u", {.out = DType::kF32});
    Value d_s = convert(p * (d_p - slice[4]), n.dtype);
    Value d_k = carry[0] + dot(d_s, q_i, "s", {.out = DType::kF32});
    return ScanBody{.carry = {d_k, d_v}, .stack = {dot(d_s, keys, "t")}};
  };
  auto done =
      scan(g, {.axis = "block", .length = n.count},
           {zeros(g, {DType::kF32, keys.shape()}), zeros(g, {DType::kF32, values.shape()})},
           {n.cut(q, "s", "b h s w"), n.cut(segments, "s", "b s", kPaddedQuery), n.cut(operands[5], "s", "b h s u"),
            n.cut(operands[4], "s", "b h s"), n.cut(operands[6], "s", "b h s")},
           rows);
  return {n.join(done.stack[0], "s", "b s h w"), transpose(convert(done.carry[0], n.dtype), "b t h w"),
          transpose(convert(done.carry[1], n.dtype), "b t h u")};
}

// ---- lowering and derivative ----

std::vector<Value> call_kernel(LoweringContext& c, std::string_view kernel, std::string& reason) {
  DType dtype = c.operands()[0].dtype();
  if (!c.target().has(kernel)) {
    reason = fmt::format("the target has no kernel {}", kernel);
    return {};
  }
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    reason = fmt::format("{} takes float32 and bfloat16, not {}", kernel, name(dtype));
    return {};
  }
  CustomCall call{.target = std::string(kernel), .results = c.node().results};
  return custom_call(c.graph(), call, c.operands());
}

std::vector<Value> lower_forward(LoweringContext& c, std::string& reason) {
  if (c.target().platform == "gpu") return gpu_forward(c.operands(), c.graph());
  return call_kernel(c, abi::kFlashAttention, reason);
}

std::vector<Value> lower_grad(LoweringContext& c, std::string& reason) {
  if (c.target().platform == "gpu") return gpu_grad(c.operands(), c.graph());
  return call_kernel(c, abi::kFlashAttentionGrad, reason);
}

// ---- cost ----

// Products of a query with a key or value of one element, over all rows and heads: all pairs in the form for GPUs,
// elsewhere the blocks up to the diagonal.
double pairs(const Node& node, const Target& target) {
  const Shape& q = node.operands[0].shape();
  auto length = static_cast<double>(q[1].size);
  double block = std::min(length, static_cast<double>(node.attr<FusedAttrs>().ints.at(0)));
  double keys = target.platform == "gpu" ? length : (length + block) / 2;
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
// (DeepSpeed Ulysses): each has whole rows of a part of its heads, so that the causal half is shared evenly.

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

ShardedForm sharded(const Node& node, const Partition& p, const FusedOp& op) {
  const Value& q = node.operands[0];
  HeadExchange exchange{p.activation_axes("b"), p.activation_axes("h"), p.activation_axes("s"), {}};
  int64_t parts = p.devices(exchange.heads) * p.devices(exchange.places);
  if (q.size("h") % parts != 0) {
    throw ConfigError(fmt::format(
        "attention=flash: {} heads cannot be split over {} devices ({}): the sequence is exchanged for heads",
        q.size("h"), parts, fmt::join(p.all_axes(), ", ")));
  }
  ShardedForm form;
  for (const Value& v : node.operands) form.in.push_back(exchange.split(v.shape()));
  for (const TensorType& r : node.results) form.out.push_back(exchange.split(r.shape));
  form.body = [exchange, &op, &node](std::span<const Value> local) {
    std::vector<Value> whole;
    for (const Value& v : local) whole.push_back(exchange.gather_places(v));
    Graph& g = whole[0].graph();
    std::vector<Value> out = fused(g, op, std::move(whole), node.attr<FusedAttrs>(), node.where);
    for (Value& v : out) v = exchange.scatter_places(v);
    return out;
  };
  return form;
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&);
std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&);

const FusedOp kGrad{.name = "flash_attention_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .lower = lower_grad,
                    .shard = shard_grad,
                    .flops = grad_flops};

const FusedOp kForward{.name = "flash_attention",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = nullptr,
                       .lower = lower_forward,
                       .shard = shard_forward,
                       .flops = forward_flops};

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&) {
  return sharded(node, p, kForward);
}
std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&) {
  return sharded(node, p, kGrad);
}

// ---- the output with its derivative ----
// Operands: q, k, v, segments, out, lse; the result is out. The derivative starts from the operands out and lse, which
// may be tagged values that a remat region has kept, and nothing flows back into the op that made them.

std::vector<TensorType> infer_output(const InferContext& c) { return {c.type(4)}; }

std::vector<Value> pass_output(const std::vector<Value>& operands, const FusedAttrs&, Graph&) { return {operands[4]}; }

std::vector<Value> lower_output(LoweringContext& c, std::string&) { return {c.operands()[4]}; }

// delta = sum over u of d_out * out
void vjp_output(VjpContext& c) {
  Value d_out = c.cotangent();
  if (!d_out) return;
  Value delta = reduce_sum(convert(d_out, DType::kF32) * convert(c.operand(4), DType::kF32), "u");
  std::vector<Value> operands{
      c.operand(0), c.operand(1), c.operand(2), c.operand(3), c.operand(5), d_out, transpose(delta, "b h s")};
  auto d = fused(d_out.graph(), kGrad, std::move(operands), c.node().attr<FusedAttrs>(), Where::current());
  for (int i = 0; i < 3; ++i) {
    if (c.wants(i)) c.add(i, d[static_cast<size_t>(i)]);
  }
}

const FusedOp kOutput{.name = "flash_attention_output",
                      .infer = infer_output,
                      .reference = pass_output,
                      .vjp = vjp_output,
                      .lower = lower_output};

}  // namespace

Value flash_attention(Value q, Value k, Value v, Value segments, const FlashOptions& options, Where where) {
  FusedAttrs attrs{.ints = {options.block}};
  auto made = fused(q.graph(), kForward, {q, k, v, segments}, attrs, where);
  Value out = tag(made[0], options.tag, where);
  Value lse = tag(made[1], options.tag, where);
  return fused(q.graph(), kOutput, {q, k, v, segments, out, lse}, attrs, where)[0];
}

}  // namespace fathom
