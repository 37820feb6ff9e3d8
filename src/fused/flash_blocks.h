// Queries and keys in blocks, as the composed forms of attention (fused/flash_attention.h) go over them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "graph/ops.h"
#include "kernels/abi.h"

namespace fathom {

// Segment numbers of the rows that fill up the last block: they see nothing and nobody sees them.
inline constexpr double kPaddedQuery = -2;
inline constexpr double kPaddedKey = -1;

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

  // [b s t]: whether query s of block i sees key t of block j. `distance` (s32): how many places the first query stands
  // behind the first key; null: none.
  Value visible(Value i, Value j, Value segments_q, Value segments_k, Value distance = {}) const {
    Shape pair{{"s", block}, {"t", block}};
    Value first = distance ? i * block + distance : i * block;
    Value query = iota(g, DType::kS32, pair, "s") + first;
    Value key = iota(g, DType::kS32, pair, "t") + j * block;
    Shape all{segments_q.shape()[0], pair[0], pair[1]};
    Value same = equal(broadcast(segments_q, all), broadcast(segments_k, all));
    return logical_and(same, broadcast(less_equal(key, query), all));
  }
};

// Scores of a block, f32 [b h s t]; what is not visible is kMasked.
inline Value scores(Value q, Value k, Value visible) {
  Value s = dot(q, k, "w", {.out = DType::kF32});
  return select(broadcast(visible, s.shape()), s, abi::kMasked);
}

inline Value segments_of_keys(Value segments) { return rename(segments, "s", "t"); }

}  // namespace fathom
