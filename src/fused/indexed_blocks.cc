#include "fused/indexed_blocks.h"

#include <fmt/ranges.h>

#include "fused/derivative.h"
#include "graph/manual.h"

namespace fathom {

namespace {

using Names = std::vector<std::string>;

// [b s]
Value segments_of_queries(const IndexOperands& index) {
  return dynamic_slice(rename(index.segments, "t", "s"), "s", index.first, index.q.size("s"));
}

}  // namespace

void check_index_operands(const InferContext& c, int at) {
  static constexpr std::string_view kForm =
      "the indexer has q [b s hi di], k [b t di] of one type, weights f32 [b s hi], segments s32 [b t], first s32";
  auto type = [&](int i) -> const TensorType& { return c.type(at + i); };
  auto names = [&](int i) { return type(i).shape.names(); };
  if (names(0) != Names{"b", "s", "hi", "di"} || names(1) != Names{"b", "t", "di"} ||
      names(2) != Names{"b", "s", "hi"} || names(3) != Names{"b", "t"} || !names(4).empty()) {
    c.fail(kForm);
  }
  const Shape &q = type(0).shape, &k = type(1).shape, &weights = type(2).shape, &segments = type(3).shape;
  bool sizes = q[0] == k[0] && q[3] == k[2] && weights[0] == q[0] && weights[1] == q[1] && weights[2] == q[2] &&
               segments[0] == k[0] && segments[1] == k[1] && q[1].size <= k[1].size;
  bool types = type(0).dtype == type(1).dtype && type(2).dtype == DType::kF32 && type(3).dtype == DType::kS32 &&
               type(4).dtype == DType::kS32;
  if (!sizes || !types) c.fail(fmt::format("sizes or types do not agree: {}", kForm));
}

void check_query_and_key(const InferContext& c) {
  const Shape &q = c.type(0).shape, &k = c.type(1).shape;
  if (q.names() != Names{"b", "s", "h", "w"} || k.names() != Names{"b", "t", "h", "w"} || q[0] != k[0] ||
      q[2] != k[2] || q[3] != k[3] || c.type(0).dtype != c.type(1).dtype) {
    c.fail("queries are [b s h w], keys [b t h w] of the same type");
  }
}

IndexedBlocks::IndexedBlocks(Graph& g, const IndexOperands& index, const FusedAttrs& attrs)
    : g_(g), index_(index), n_(g, index.q, attrs) {}

std::vector<Value> IndexedBlocks::stacks() const {
  return {cut(index_.q, "b s hi di"), cut(index_.weights, "b s hi"),
          n_.cut(segments_of_queries(index_), "s", "b s", kPaddedQuery)};
}

IndexedBlocks::Scores IndexedBlocks::scores(const Block& block) const {
  const std::vector<Value> in = barrier({block.q, block.weights});
  Scores out;
  out.products = barrier({dot(in[0], index_.k, "di", {.out = DType::kF32})})[0];
  Value sum = reduce_sum(maximum(out.products, 0) * in[1], "hi");
  sum = select(equal(sum, 0), 0, sum);  // one zero: -0 and 0 are equal scores
  out.sums = barrier({select(seen(block), sum, abi::kMasked)})[0];
  return out;
}

Value IndexedBlocks::places(const Shape& shape) const { return iota(g_, DType::kS32, shape, "t"); }

Value IndexedBlocks::seen(const Block& block) const {
  Shape pair{{"s", n_.block}, {"t", index_.k.size("t")}};
  Shape all{block.segments.shape()[0], pair[0], pair[1]};
  Value query = iota(g_, DType::kS32, pair, "s") + (block.i * n_.block + index_.first);
  Value same = equal(broadcast(block.segments, all), broadcast(index_.segments, all));
  return logical_and(same, broadcast(less_equal(places(pair), query), all));
}

Value IndexedBlocks::chosen(const Block& block, const Scores& scores, Value cutoff, Value tie) const {
  const Shape& all = scores.sums.shape();
  Value limit = broadcast(cutoff, all);
  // Said by what is not chosen, so that a score that is no number is, and the loss says it.
  Value below = less(scores.sums, limit);
  Value late = logical_and(equal(scores.sums, limit), greater(places(all), broadcast(tie, all)));
  return logical_and(seen(block), logical_not(logical_or(below, late)));
}

Value chosen_keys(Graph& g, std::span<const Value> index, Value cutoff, Value tie, int64_t top_k) {
  const Shape& row = cutoff.shape();
  CustomCall call{.target = std::string(abi::kIndexerKeys),
                  .results = {{DType::kS32, Shape{row[0], row[1], {"n", top_k}}}}};
  std::vector<Value> operands(index.begin(), index.begin() + IndexOperands::kCount);
  operands.insert(operands.end(), {cutoff, tie});
  return custom_call(g, call, std::move(operands))[0];
}

std::optional<ShardedForm> shard_indexed(const Node& node, const Partition& p, const IndexedSharding& how) {
  const std::vector<std::string> rows = p.activation_axes("b"), heads = p.activation_axes("h"),
                                 places = p.activation_axes("s");
  auto split = [&](const Shape& shape) {
    Sharding out;
    for (const std::string& axis : shape.names()) {
      out.dims.push_back(axis == "b"                  ? rows
                         : axis == "h"                ? heads
                         : axis == "s" || axis == "t" ? places
                                                      : std::vector<std::string>{});
    }
    return out;
  };
  ShardedForm form;
  for (const Value& v : node.operands) {
    if (v.has("h") && v.size("h") % p.devices(heads) != 0) {
      throw ConfigError(fmt::format("use_indexer: {} heads cannot be split over {} devices ({})", v.size("h"),
                                    p.devices(heads), fmt::join(heads, ", ")));
    }
    form.in.push_back(split(v.shape()));
  }
  for (const TensorType& r : node.results) form.out.push_back(split(r.shape));
  form.body = [heads, places, how, &node](std::span<const Value> local) {
    std::vector<Value> whole;
    for (Value v : local) {
      if (v.has("t")) v = all_gather(v, "t", places);
      if (v.has("h") && how.whole_heads) v = all_gather(v, "h", heads);
      whole.push_back(v);
    }
    Graph& g = local[0].graph();
    const int64_t queries = local[0].size("s");
    if (!places.empty()) whole[how.first] = device_index(g, places) * queries;
    FusedAttrs attrs = node.attr<FusedAttrs>();
    attrs.shardings = {{.dims = {how.whole_heads ? std::vector<std::string>{} : heads}}};
    std::vector<Value> out = fused(g, *attrs.op, std::move(whole), attrs, node.where);
    for (Value& v : out) {
      if (v.has("t")) v = reduce_scatter(v, "t", places);
    }
    return out;
  };
  return form;
}

}  // namespace fathom
