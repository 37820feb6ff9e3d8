#include "fused/grouped_matmul_gpu.h"

#include <algorithm>
#include <bit>

#include "fused/row_tiles.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

// Rows a tile: a power of two of one to two thirds of the mean group. The last tile of a group is half empty on
// average, so smaller tiles compute less for nothing, but each has a copy of its matrix.
int64_t rows_of_tile(int64_t rows, int64_t groups) {
  auto wanted = static_cast<uint64_t>(2 * rows / (3 * std::max<int64_t>(groups, 1)));
  return static_cast<int64_t>(std::bit_floor(std::max<uint64_t>(wanted, 16)));
}

// How many equal pieces an axis is cut into, so that each takes at most `most` of `bytes`. None has fewer than 16
// columns: a product of so few is all overhead.
int64_t pieces_of(int64_t size, int64_t bytes, int64_t most) {
  int64_t pieces = 1;
  for (int64_t p = 2; 16 * p <= size && bytes / pieces > most; ++p) {
    if (size % p == 0) pieces = p;
  }
  return pieces;
}

}  // namespace

Value tiled_matmul(Value x, Value w, Value group_sizes) {
  RowTiles tiles(x.shape()[0], group_sizes, rows_of_tile(x.shape()[0].size, group_sizes.shape()[0].size));
  Value matrices = gather(w, tiles.group(), w.shape()[0].name);
  return tiles.join(dot(tiles.cut(x), matrices, x.shape()[1].name));
}

Value tiled_outer(Value a, Value b, Value group_sizes, int64_t parts_bytes) {
  Graph& g = a.graph();
  const Axis n = a.shape()[1], k = b.shape()[1], groups = group_sizes.shape()[0];
  RowTiles tiles(a.shape()[0], group_sizes, rows_of_tile(a.shape()[0].size, groups.size));
  Value left = tiles.cut_with_zeros(a), right = tiles.cut(b);  // [tile place n], [tile place k]
  // The sum over a group's tiles as a product with zeros and ones, which is exact only when asked for: by default GPUs
  // round the parts to TF32.
  Value member = one_hot(tiles.group(), groups, DType::kF32);
  auto product = [&](Value columns) {
    Value parts = dot(columns, right, "place", {.out = DType::kF32});  // [tile n k]
    return convert(dot(member, parts, "tile", {.precision = Precision::kHighest}), a.dtype());
  };
  const int64_t bytes = left.shape()[0].size * n.size * k.size * byte_size(DType::kF32);
  const int64_t pieces = pieces_of(n.size, bytes, parts_bytes), width = n.size / pieces;
  if (pieces == 1) return product(left);
  auto each = scan(g, {.axis = "piece", .length = pieces}, {zeros(g, {a.dtype(), Shape{groups, n, k}})}, {},
                   [&](Value piece, std::span<const Value> carry, std::span<const Value>) {
                     Value at = piece * width;
                     Value part = product(dynamic_slice(left, n.name, at, width));
                     return ScanBody{.carry = {dynamic_update_slice(carry[0], part, n.name, at)}, .stack = {}};
                   });
  return each.carry[0];
}

}  // namespace fathom
