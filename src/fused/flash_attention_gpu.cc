#include "fused/flash_attention_gpu.h"

#include <fmt/format.h>

#include "fused/flash_blocks.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

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

}  // namespace

std::vector<Value> flash_attention_gpu(const std::vector<Value>& operands, Graph& g) {
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

// The formulas of the composed reference.
std::vector<Value> flash_attention_grad_gpu(const std::vector<Value>& operands, Graph& g) {
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

}  // namespace fathom
