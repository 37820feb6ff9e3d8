#include "fused/grouped_matmul_gpu.h"

#include <algorithm>
#include <bit>

namespace fathom {
namespace {

// Rows a tile: a power of two of one to two thirds of the mean group. The last tile of a group is half empty on
// average, so smaller tiles compute less for nothing, but each has a copy of its matrix.
int64_t rows_of_tile(int64_t rows, int64_t groups) {
  auto wanted = static_cast<uint64_t>(2 * rows / (3 * std::max<int64_t>(groups, 1)));
  return static_cast<int64_t>(std::bit_floor(std::max<uint64_t>(wanted, 16)));
}

// Number of `ends` [e] (ascending) that do not lie beyond `at` [x]: the group that `at` is in. The last group's number
// for what lies beyond all.
Value group_at(Value ends, Value at) {
  const Axis& groups = ends.shape()[0];
  Shape pair{at.shape()[0], groups};
  Value passed = less_equal(broadcast(ends, pair), broadcast(at, pair));
  return minimum(reduce_sum(convert(passed, DType::kS32), groups.name), static_cast<double>(groups.size - 1));
}

// Each group's rows are cut into tiles, the last of which may be partly empty. As many tiles as any sizes could need.
class Tiles {
 public:
  Tiles(const Axis& rows, Value sizes) : rows_(rows), groups_(sizes.shape()[0]) {
    Graph& g = sizes.graph();
    height_ = rows_of_tile(rows.size, groups_.size);
    count_ = rows.size / height_ + groups_.size;
    Value of_group = (sizes + (height_ - 1)) / height_;
    tile_ends_ = cumsum(of_group, groups_.name);
    row_ends_ = cumsum(sizes, groups_.name);
    first_tile_ = tile_ends_ - of_group;
    first_row_ = row_ends_ - sizes;
    Value tile = iota(g, DType::kS32, Shape{{"tile", count_}}, "tile");
    group_ = group_at(tile_ends_, tile);
    Value before = (tile - gather(first_tile_, group_, groups_.name)) * height_;  // rows of the group in earlier tiles
    place_ = iota(g, DType::kS32, Shape{{"tile", count_}, {"place", height_}}, "place");
    Value first = gather(first_row_, group_, groups_.name) + before;
    left_ = gather(sizes, group_, groups_.name) - before;
    row_ = broadcast(first, place_.shape()) + place_;
  }

  const Value& group() const { return group_; }  // [tile]

  // x [rows *] as [tile place *]; places without a row of their group hold some other row.
  Value cut(Value x) const { return gather(x, row_, rows_.name); }
  // The same with zeros there.
  Value cut_with_zeros(Value x) const {
    Value cut_x = cut(x);
    Value filled = less(place_, broadcast(left_, place_.shape()));
    return select(broadcast(filled, cut_x.shape()), cut_x, 0);
  }
  // [tile place *] as [rows *].
  Value join(Value tiles) const {
    Value row = iota(tiles.graph(), DType::kS32, Shape{rows_}, rows_.name);
    Value moved = gather(first_tile_ * height_ - first_row_, group_at(row_ends_, row), groups_.name);
    return gather(merge_axes(tiles, "tile place", "slot"), row + moved, "slot");
  }

 private:
  Axis rows_, groups_;
  int64_t height_ = 0, count_ = 0;
  Value first_tile_, first_row_;  // [e] of each group
  Value tile_ends_, row_ends_;    // [e] beyond each group's last
  Value group_, left_;            // [tile] whose it is; rows of that group from its first row on
  Value place_, row_;             // [tile place]
};

}  // namespace

Value tiled_matmul(Value x, Value w, Value group_sizes) {
  Tiles tiles(x.shape()[0], group_sizes);
  Value matrices = gather(w, tiles.group(), w.shape()[0].name);
  return tiles.join(dot(tiles.cut(x), matrices, x.shape()[1].name));
}

Value tiled_outer(Value a, Value b, Value group_sizes) {
  Tiles tiles(a.shape()[0], group_sizes);
  Value parts = dot(tiles.cut_with_zeros(a), tiles.cut(b), "place", {.out = DType::kF32});  // [tile n k]
  // The sum over a group's tiles as a product with zeros and ones, which is exact only when asked for: by default GPUs
  // round the parts to TF32.
  Value member = one_hot(tiles.group(), group_sizes.shape()[0], DType::kF32);
  return convert(dot(member, parts, "tile", {.precision = Precision::kHighest}), a.dtype());
}

}  // namespace fathom
