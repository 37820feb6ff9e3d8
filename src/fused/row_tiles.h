// Rows sorted by group, cut into tiles of equal height that begin at each group's first row.
#pragma once

#include "graph/ops.h"

namespace fathom {

// The last tile of a group may be partly empty. There are as many tiles as any sizes could need.
class RowTiles {
 public:
  // sizes [e] s32: the rows of each group; they sum to at most those of `rows`.
  RowTiles(const Axis& rows, Value sizes, int64_t height);

  const Value& group() const { return group_; }  // [tile] s32; the last group for tiles that none needs

  // x [rows *] as [tile place *]; places without a row of their group hold some other row.
  Value cut(Value x) const;
  // The same with zeros there.
  Value cut_with_zeros(Value x) const;
  // [tile place *] as [rows *].
  Value join(Value tiles) const;
  // [e] s32: the places of each group's tiles, empty ones included.
  Value places() const { return tiles_ * height_; }

 private:
  Axis rows_, groups_;
  int64_t height_ = 0, count_ = 0;
  Value tiles_;                   // [e] of each group
  Value first_tile_, first_row_;  // [e] of each group
  Value tile_ends_, row_ends_;    // [e] beyond each group's last
  Value group_, left_;            // [tile] whose it is; rows of that group from its first row on
  Value place_, row_;             // [tile place]
};

}  // namespace fathom
