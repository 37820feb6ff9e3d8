#include "fused/row_tiles.h"

namespace fathom {
namespace {

// Number of `ends` [e] (ascending) that do not lie beyond `at` [x]: the group that `at` is in. The last group's number
// for what lies beyond all.
Value group_at(Value ends, Value at) {
  const Axis& groups = ends.shape()[0];
  Shape pair{at.shape()[0], groups};
  Value passed = less_equal(broadcast(ends, pair), broadcast(at, pair));
  return minimum(reduce_sum(convert(passed, DType::kS32), groups.name), static_cast<double>(groups.size - 1));
}

}  // namespace

RowTiles::RowTiles(const Axis& rows, Value sizes, int64_t height)
    : rows_(rows), groups_(sizes.shape()[0]), height_(height) {
  Graph& g = sizes.graph();
  count_ = rows.size / height_ + groups_.size;
  tiles_ = (sizes + (height_ - 1)) / height_;
  tile_ends_ = cumsum(tiles_, groups_.name);
  row_ends_ = cumsum(sizes, groups_.name);
  first_tile_ = tile_ends_ - tiles_;
  first_row_ = row_ends_ - sizes;
  Value tile = iota(g, DType::kS32, Shape{{"tile", count_}}, "tile");
  group_ = group_at(tile_ends_, tile);
  Value before = (tile - gather(first_tile_, group_, groups_.name)) * height_;  // rows of the group in earlier tiles
  place_ = iota(g, DType::kS32, Shape{{"tile", count_}, {"place", height_}}, "place");
  Value first = gather(first_row_, group_, groups_.name) + before;
  left_ = gather(sizes, group_, groups_.name) - before;
  row_ = broadcast(first, place_.shape()) + place_;
}

Value RowTiles::cut(Value x) const { return gather(x, row_, rows_.name); }

Value RowTiles::cut_with_zeros(Value x) const {
  Value cut_x = cut(x);
  Value filled = less(place_, broadcast(left_, place_.shape()));
  return select(broadcast(filled, cut_x.shape()), cut_x, 0);
}

Value RowTiles::join(Value tiles) const {
  Value row = iota(tiles.graph(), DType::kS32, Shape{rows_}, rows_.name);
  Value moved = gather(first_tile_ * height_ - first_row_, group_at(row_ends_, row), groups_.name);
  return gather(merge_axes(tiles, "tile place", "slot"), row + moved, "slot");
}

}  // namespace fathom
