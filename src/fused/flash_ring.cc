#include "fused/flash_ring.h"

#include "fused/flash_steps.h"
#include "graph/manual.h"

namespace fathom {
namespace {

// A device's place in the ring, and its queries in blocks.
struct Ring {
  Blocks n;
  const std::vector<std::string>& axes;
  int64_t devices;
  Value index;

  Ring(std::span<const Value> local, const FusedAttrs& attrs, const std::vector<std::string>& mesh_axes)
      : n(local[0].graph(), local[0], attrs),
        axes(mesh_axes),
        devices(n.g.partition->devices(mesh_axes)),
        index(device_index(n.g, mesh_axes)) {}

  // Places from the first key at hand to the first query: after `turn` turns the keys are those of the device that many
  // before this one.
  Value distance(Value turn) const {
    Value owner = remainder(index - turn + devices, devices);
    return (index - owner) * n.length;
  }
  // The last block of keys that the queries of block i may see, and the first block of queries that may see the keys of
  // block j; beyond all blocks where there is none.
  Value last_seen(Value i, Value distance) const {
    Value place = i * n.block + n.block - 1 + distance;  // of the last query, among the keys
    Value block = select(less(place, 0), -1, place / n.block);
    return minimum(block, n.count - 1);
  }
  Value first_seeing(Value j, Value distance) const { return maximum((j * n.block - distance) / n.block, 0); }

  std::vector<Value> passed_on(std::vector<Value> values) const {
    for (Value& v : values) v = ring_shift(v, axes);
    return values;
  }
};

}  // namespace

std::vector<Value> ring_attention(std::span<const Value> local, const FusedAttrs& attrs,
                                  const std::vector<std::string>& mesh_axes) {
  const Value &q = local[0], &v = local[2];
  const Ring ring(local, attrs, mesh_axes);
  const Blocks& n = ring.n;
  Value queries = n.cut(q, "s", "b h s w"), segments = n.cut(local[3], "s", "b s", kPaddedQuery);
  const KeyBlocks own = key_blocks(n, local);
  const Shape row{{"block", n.count}, q.shape()[0], q.shape()[2], {"s", n.block}};
  const Shape wide{row[0], row[1], row[2], row[3], v.shape()[3]};

  auto turn = [&](Value number, std::span<const Value> carry, std::span<const Value>) {
    std::vector<Value> next = ring.passed_on({carry[0], carry[1], carry[2]});
    Value distance = ring.distance(number);
    const KeyBlocks keys{.keys = carry[0], .values = carry[1], .segments = carry[2], .distance = distance};
    auto block = [&](Value i, std::span<const Value>, std::span<const Value> slice) {
      const SoftmaxState met = meet_keys(n, {i, slice[0], slice[1]}, keys, ring.last_seen(i, distance),
                                         {.top = slice[2], .sum = slice[3], .out = slice[4]});
      return ScanBody{.carry = {}, .stack = {met.top, met.sum, met.out}};
    };
    ScanResult met =
        scan(n.g, {.axis = "block", .length = n.count}, {}, {queries, segments, carry[3], carry[4], carry[5]}, block);
    next.insert(next.end(), met.stack.begin(), met.stack.end());
    return ScanBody{.carry = std::move(next), .stack = {}};
  };
  std::vector<Value> init{own.keys,
                          own.values,
                          own.segments,
                          constant(n.g, abi::kMasked, {DType::kF32, row}),
                          zeros(n.g, {DType::kF32, row}),
                          zeros(n.g, {DType::kF32, wide})};
  ScanResult done = scan(n.g, {.axis = "turn", .length = ring.devices}, std::move(init), {}, turn);
  Value top = done.carry[3], sum = done.carry[4], out = done.carry[5];
  return {n.join(convert(out / sum, n.dtype), "s", "b s h u"), n.join(top + log(sum), "s", "b h s")};
}

// The gradients of keys and values go round with them, and are whole when they are back.
std::vector<Value> ring_attention_grad(std::span<const Value> local, const FusedAttrs& attrs,
                                       const std::vector<std::string>& mesh_axes) {
  const Ring ring(local, attrs, mesh_axes);
  const Blocks& n = ring.n;
  const QueryBlocks queries = query_blocks(n, local);
  const KeyBlocks own = key_blocks(n, local);

  auto turn = [&](Value number, std::span<const Value> carry, std::span<const Value>) {
    std::vector<Value> next = ring.passed_on({carry[0], carry[1], carry[2]});
    Value distance = ring.distance(number);
    auto block = [&](Value j, std::span<const Value> d_q, std::span<const Value> slice) {
      const KeyBlocks keys{.keys = slice[0], .values = slice[1], .segments = slice[2], .distance = distance};
      const FlashGradients d = meet_queries(n, j, queries, keys, ring.first_seeing(j, distance),
                                            {.q = d_q[0], .k = slice[3], .v = slice[4]});
      return ScanBody{.carry = {d.q}, .stack = {d.k, d.v}};
    };
    ScanResult met = scan(n.g, {.axis = "block", .length = n.count}, {carry[5]},
                          {carry[0], carry[1], carry[2], carry[3], carry[4]}, block);
    for (const Value& d : ring.passed_on(met.stack)) next.push_back(d);
    next.push_back(met.carry[0]);
    return ScanBody{.carry = std::move(next), .stack = {}};
  };
  auto none = [&](Value like) { return zeros(n.g, {DType::kF32, like.shape()}); };
  std::vector<Value> init{own.keys, own.values, own.segments, none(own.keys), none(own.values), none(queries.queries)};
  ScanResult done = scan(n.g, {.axis = "turn", .length = ring.devices}, std::move(init), {}, turn);
  return {n.join(convert(done.carry[5], n.dtype), "s", "b s h w"),
          n.join(convert(done.carry[3], n.dtype), "t", "b t h w"),
          n.join(convert(done.carry[4], n.dtype), "t", "b t h u")};
}

}  // namespace fathom
