#include "fused/grouped_matmul_gpu.h"

#include <algorithm>
#include <bit>

#include "fused/row_tiles.h"

namespace fathom {
namespace {

// Rows a tile: a power of two of one to two thirds of the mean group. The last tile of a group is half empty on
// average, so smaller tiles compute less for nothing, but each has a copy of its matrix.
int64_t rows_of_tile(int64_t rows, int64_t groups) {
  auto wanted = static_cast<uint64_t>(2 * rows / (3 * std::max<int64_t>(groups, 1)));
  return static_cast<int64_t>(std::bit_floor(std::max<uint64_t>(wanted, 16)));
}

}  // namespace

Value tiled_matmul(Value x, Value w, Value group_sizes) {
  RowTiles tiles(x.shape()[0], group_sizes, rows_of_tile(x.shape()[0].size, group_sizes.shape()[0].size));
  Value matrices = gather(w, tiles.group(), w.shape()[0].name);
  return tiles.join(dot(tiles.cut(x), matrices, x.shape()[1].name));
}

Value tiled_outer(Value a, Value b, Value group_sizes) {
  RowTiles tiles(a.shape()[0], group_sizes, rows_of_tile(a.shape()[0].size, group_sizes.shape()[0].size));
  Value parts = dot(tiles.cut_with_zeros(a), tiles.cut(b), "place", {.out = DType::kF32});  // [tile n k]
  // The sum over a group's tiles as a product with zeros and ones, which is exact only when asked for: by default GPUs
  // round the parts to TF32.
  Value member = one_hot(tiles.group(), group_sizes.shape()[0], DType::kF32);
  return convert(dot(member, parts, "tile", {.precision = Precision::kHighest}), a.dtype());
}

}  // namespace fathom
