#include "fused/indexer_selection.h"

#include <algorithm>
#include <bit>

#include "fused/indexed_blocks.h"
#include "fused/kernel_call.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands: those of the indexer (fused/indexed_blocks.h). Results: cutoff, tie, keys.

std::vector<TensorType> infer(const InferContext& c) {
  check_index_operands(c, 0);
  const int64_t top_k = top_k_of(c.attr<FusedAttrs>());
  const Shape &q = c.type(0).shape, &k = c.type(1).shape;
  if (top_k < 1 || top_k > k[1].size) c.fail("top_k is not one of the keys");
  const Shape row{q[0], q[1]};
  return {{DType::kF32, row}, {DType::kS32, row}, {DType::kS32, Shape{q[0], q[1], {"n", top_k}}}};
}

// ---- the composed form ----

// Floats as unsigned integers of the same order: a negative one has all its bits turned, another the sign alone.
constexpr double kSign = 2147483648.0, kAllBits = 4294967295.0;

Value in_order(Value x) {
  Value bits = bitcast(x, DType::kU32);
  Value negative = shift_right(bits, 31);
  return logical_xor(bits, negative * (kAllBits - kSign) + kSign);
}

Value from_order(Value ordered) {
  Value positive = shift_right(ordered, 31);
  return bitcast(logical_xor(ordered, kAllBits - positive * (kAllBits - kSign)), DType::kF32);
}

Value how_many(Value which) { return reduce_sum(convert(which, DType::kS32), "t"); }

// The largest number of `bits` bits (u32, of the shape `row`) for which `holds`, which is true up to some number and
// false beyond, 0 included.
Value largest(Graph& g, const Shape& row, int bits, const std::function<Value(Value)>& holds) {
  const TensorType counter{DType::kU32, {}};
  auto done = while_loop(
      g, {constant(g, std::ldexp(1.0, bits - 1), counter), zeros(g, {DType::kU32, row})},
      [](std::span<const Value> state) { return not_equal(state[0], 0); },
      [&](std::span<const Value> state) {
        Value candidate = logical_or(state[1], broadcast(state[0], row));
        return std::vector<Value>{shift_right(state[0], 1), select(holds(candidate), candidate, state[1])};
      });
  return done[1];
}

// [b s] each, of scores [b s t].
std::pair<Value, Value> cutoff_and_tie(Value scores, int64_t top_k) {
  Graph& g = scores.graph();
  const Shape row{scores.shape()[0], scores.shape()[1]};
  Value ordered = in_order(scores);
  Value limit = largest(g, row, 32, [&](Value at) {
    return greater_equal(how_many(greater_equal(ordered, broadcast(at, ordered.shape()))), static_cast<double>(top_k));
  });
  Value all = broadcast(limit, ordered.shape());
  Value at_limit = equal(ordered, all);
  Value missing = static_cast<double>(top_k) - how_many(greater(ordered, all));
  Value place = convert(iota(g, DType::kS32, scores.shape(), "t"), DType::kU32);
  const int bits = std::bit_width(static_cast<uint64_t>(scores.size("t")));
  Value tie = largest(g, row, bits, [&](Value at) {
    return less(how_many(logical_and(at_limit, less(place, broadcast(at, place.shape())))), missing);
  });
  return {from_order(limit), convert(tie, DType::kS32)};
}

// [b s n]: the places where `chosen` [b s t] holds, then -1.
Value list_of(Value chosen, int64_t top_k) {
  Graph& g = chosen.graph();
  const auto none = static_cast<double>(chosen.size("t"));
  Value place = select(chosen, iota(g, DType::kS32, chosen.shape(), "t"), none);
  Value first = rename(slice(sort({place}, "t")[0], "t", 0, top_k), "t", "n");
  return select(equal(first, none), -1, first);
}

// Cutoff and tie, and the keys where they are `listed`.
std::vector<Value> composed(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g, bool listed) {
  IndexedBlocks n(g, IndexOperands(operands), attrs);
  auto rows = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
    const IndexedBlocks::Block block(i, slice);
    const IndexedBlocks::Scores scores = n.scores(block);
    auto [cutoff, tie] = cutoff_and_tie(scores.sums, top_k_of(attrs));
    ScanBody out{.carry = {}, .stack = {cutoff, tie}};
    if (listed) out.stack.push_back(list_of(n.chosen(block, scores, cutoff, tie), top_k_of(attrs)));
    return out;
  };
  auto done = scan(g, {.axis = "block", .length = n.count()}, {}, n.stacks(), rows);
  std::vector<Value> out = {n.join(done.stack[0], "b s"), n.join(done.stack[1], "b s")};
  if (listed) out.push_back(n.join(done.stack[2], "b s n"));
  return out;
}

std::vector<Value> reference(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  return composed(operands, attrs, g, true);
}

// Where no kernel reads the list it is not made: the sort that makes it takes a compiler minutes.
std::vector<Value> unlisted(LoweringContext& c, std::string&) {
  std::vector<Value> out = composed(c.operands(), c.node().attr<FusedAttrs>(), c.graph(), false);
  out.push_back(constant(c.graph(), -1, c.node().results[2]));
  return out;
}

std::vector<Value> kernel(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kIndexerSelection, 2, reason)) return {};
  CustomCall call{.target = std::string(abi::kIndexerSelection), .results = c.node().results};
  call.config = {{std::string(abi::kTopK), fmt::format("{} : i64", top_k_of(c.node().attr<FusedAttrs>()))}};
  return custom_call(c.graph(), call, c.operands());
}

// Scores; the kernel does not look beyond the diagonal.
double flops(const Node& node, const Target& target) {
  const Shape &q = node.operands[0].shape(), &k = node.operands[1].shape();
  const double part = target.hardware == Hardware::kCpu ? 0.5 : 1;
  return 2 * part * static_cast<double>(q.elements()) * static_cast<double>(k[1].size);
}

void no_gradient(VjpContext&) {}

std::optional<ShardedForm> shard(const Node& node, const Partition& p, const Target&) {
  return shard_indexed(node, p, {.first = 4});
}

const FusedOp kSelection{.name = "indexer_selection",
                         .infer = infer,
                         .reference = reference,
                         .vjp = no_gradient,
                         .forms = {.cpu = kernel, .gpu = unlisted, .tpu = unlisted},
                         .shard = shard,
                         .flops = flops};

}  // namespace

int64_t queries_of_block(int64_t heads, int64_t keys) {
  constexpr int64_t kBytes = int64_t{256} << 20, kLeast = 32, kMost = 128;
  const int64_t queries = kBytes / (heads * keys * 4);
  return std::clamp(static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(queries, 1)))), kLeast,
                    kMost);
}

Selection indexer_selection(const IndexerInputs& index, Value segments, const SelectionOptions& options, Where where) {
  Graph& g = index.q.graph();
  FusedAttrs attrs{.ints = {options.block, options.top_k}};
  Value first = constant(g, 0, {DType::kS32, {}}, where);
  auto made = fused(g, kSelection, {index.q, index.k, index.weights, segments, first}, attrs, where);
  return {made[0], made[1], made[2]};
}

}  // namespace fathom
