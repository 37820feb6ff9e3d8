#include "data/packing.h"

#include <algorithm>

namespace fathom {

namespace {

std::span<int32_t> row_of(HostArray& array, int64_t row, int64_t length) {
  return array.mutable_view<int32_t>().subspan(static_cast<size_t>(row * length), static_cast<size_t>(length));
}

}  // namespace

bool RowPacker::has_room(const Row& row, size_t tokens) const {
  if (row.ends.empty()) return true;
  if (!options_.packing) return false;
  if (options_.max_segments > 0 && static_cast<int64_t>(row.ends.size()) >= options_.max_segments) return false;
  return row.tokens.size() + tokens <= static_cast<size_t>(options_.length);
}

bool RowPacker::place(std::span<const int32_t> tokens) {
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return has_room(r, tokens.size()); });
  if (row == rows_.end()) return false;
  row->tokens.insert(row->tokens.end(), tokens.begin(), tokens.end());
  row->ends.push_back(static_cast<int64_t>(row->tokens.size()));
  ++documents_;
  return true;
}

bool RowPacker::every_row_used() const {
  return std::all_of(rows_.begin(), rows_.end(), [](const Row& row) { return !row.ends.empty(); });
}

Batch RowPacker::take() {
  Batch batch = Batch::allocate(options_.rows, options_.length);
  for (size_t i = 0; i < rows_.size(); ++i) {
    write_inputs(rows_[i], static_cast<int64_t>(i), batch);
    write_targets(static_cast<int64_t>(i), batch);
    rows_[i].tokens.clear();
    rows_[i].ends.clear();
  }
  documents_ = 0;
  return batch;
}

void RowPacker::write_inputs(const Row& row, int64_t index, Batch& batch) const {
  std::span<int32_t> inputs = row_of(batch.inputs, index, options_.length);
  std::span<int32_t> positions = row_of(batch.inputs_position, index, options_.length);
  std::span<int32_t> segments = row_of(batch.inputs_segmentation, index, options_.length);
  std::fill(inputs.begin(), inputs.end(), options_.pad_id.value_or(0));
  std::fill(positions.begin(), positions.end(), 0);
  std::fill(segments.begin(), segments.end(), 0);
  std::copy(row.tokens.begin(), row.tokens.end(), inputs.begin());
  size_t begin = 0;
  for (size_t segment = 0; segment < row.ends.size(); ++segment) {
    size_t end = static_cast<size_t>(row.ends[segment]);
    for (size_t i = begin; i < end; ++i) {
      positions[i] = static_cast<int32_t>(i - begin);
      segments[i] = static_cast<int32_t>(segment) + 1;
    }
    begin = end;
  }
}

void RowPacker::write_targets(int64_t index, Batch& batch) const {
  std::span<const int32_t> inputs = row_of(batch.inputs, index, options_.length);
  std::span<const int32_t> segments = row_of(batch.inputs_segmentation, index, options_.length);
  std::span<int32_t> targets = row_of(batch.targets, index, options_.length);
  std::span<int32_t> target_segments = row_of(batch.targets_segmentation, index, options_.length);
  for (size_t i = 0; i + 1 < inputs.size(); ++i) {
    targets[i] = inputs[i + 1];
    bool masked = options_.mask_by_value && (targets[i] == options_.pad_id || targets[i] == options_.bos_id);
    target_segments[i] = segments[i + 1] == segments[i] && !masked ? segments[i] : 0;
  }
  targets.back() = options_.pad_id.value_or(0);
  target_segments.back() = 0;
}

}  // namespace fathom
