#include "data/packing.h"

#include <algorithm>
#include <numeric>

namespace fathom {

namespace {

std::span<int32_t> row_of(HostArray& array, int64_t row, int64_t length) {
  return array.mutable_view<int32_t>().subspan(static_cast<size_t>(row * length), static_cast<size_t>(length));
}

}  // namespace

size_t RowPacker::places(size_t tokens) const {
  return options_.form == RowForm::kOpenRow ? tokens - 1 : std::min(tokens, static_cast<size_t>(options_.length));
}

bool RowPacker::has_room(const Row& row, size_t places) const {
  if (row.ends.empty()) return true;
  if (!options_.packing) return false;
  if (options_.max_segments > 0 && static_cast<int64_t>(row.ends.size()) >= options_.max_segments) return false;
  return row.tokens.size() + places <= static_cast<size_t>(options_.length);
}

std::vector<RowPacker::Row>::iterator RowPacker::row_with_room(size_t places) {
  if (options_.form == RowForm::kFirstFit) {
    return std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return has_room(row, places); });
  }
  if (!has_room(rows_[open_], places)) {
    if (open_ + 1 == rows_.size()) return rows_.end();
    ++open_;
  }
  return rows_.begin() + static_cast<ptrdiff_t>(open_);
}

void RowPacker::add_counts(Row& row, size_t places, std::span<const uint8_t> counts) {
  if (counts.empty() && row.counts.empty()) return;
  row.counts.resize(row.tokens.size(), 1);
  if (counts.empty()) {
    row.counts.resize(row.tokens.size() + places, 1);
  } else {
    row.counts.insert(row.counts.end(), counts.begin(), counts.begin() + static_cast<ptrdiff_t>(places));
  }
}

bool RowPacker::place(std::span<const int32_t> tokens, std::span<const uint8_t> counts) {
  const size_t taken = places(tokens.size());
  auto row = row_with_room(taken);
  if (row == rows_.end()) return false;
  add_counts(*row, taken, counts);
  row->tokens.insert(row->tokens.end(), tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(taken));
  row->ends.push_back(static_cast<int64_t>(row->tokens.size()));
  const bool more = taken < tokens.size() && (counts.empty() || counts[taken] != 0);
  row->last_targets.push_back(more ? std::optional(tokens[taken]) : std::nullopt);
  ++documents_;
  return true;
}

int64_t RowPacker::used_rows() const {
  return std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return !row.ends.empty(); });
}

void RowPacker::clear() {
  for (Row& row : rows_) row = {};
  open_ = 0;
  documents_ = 0;
}

Batch RowPacker::take() {
  Batch batch = Batch::allocate(options_.rows, options_.length);
  for (size_t i = 0; i < rows_.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    write_inputs(rows_[i], index, batch);
    write_targets(rows_[i], index, batch);
    if (options_.form == RowForm::kOpenRow && options_.mask_by_value) mask_padding_token(index, batch);
  }
  clear();
  return batch;
}

void RowPacker::write_inputs(const Row& row, int64_t index, Batch& batch) const {
  std::span<int32_t> inputs = row_of(batch.inputs, index, options_.length);
  std::span<int32_t> positions = row_of(batch.inputs_position, index, options_.length);
  std::span<int32_t> segments = row_of(batch.inputs_segmentation, index, options_.length);
  std::fill(inputs.begin(), inputs.end(), options_.pad_id.value_or(0));
  std::fill(positions.begin(), positions.end(), 0);
  // The peer numbers the places of a row that is not packed to its end.
  if (options_.form == RowForm::kOpenRow && !options_.packing) std::iota(positions.begin(), positions.end(), 0);
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

void RowPacker::write_targets(const Row& row, int64_t index, Batch& batch) const {
  std::span<const int32_t> inputs = row_of(batch.inputs, index, options_.length);
  std::span<const int32_t> segments = row_of(batch.inputs_segmentation, index, options_.length);
  std::span<int32_t> targets = row_of(batch.targets, index, options_.length);
  std::span<int32_t> target_segments = row_of(batch.targets_segmentation, index, options_.length);
  for (size_t i = 0; i + 1 < inputs.size(); ++i) {
    targets[i] = inputs[i + 1];
    target_segments[i] = segments[i + 1] == segments[i] ? segments[i] : 0;
  }
  targets.back() = options_.pad_id.value_or(0);
  target_segments.back() = 0;
  for (size_t i = 1; i < row.counts.size(); ++i) {
    if (row.counts[i] == 0) target_segments[i - 1] = 0;
  }
  for (size_t document = 0; document < row.ends.size(); ++document) {
    if (!row.last_targets[document]) continue;
    const size_t last = static_cast<size_t>(row.ends[document]) - 1;
    targets[last] = *row.last_targets[document];
    target_segments[last] = segments[last];
  }
  if (!options_.mask_by_value) return;
  for (size_t i = 0; i < targets.size(); ++i) {
    const bool begins = options_.form == RowForm::kFirstFit && targets[i] == options_.bos_id;
    if (begins || targets[i] == options_.pad_id) target_segments[i] = 0;
  }
}

void RowPacker::mask_padding_token(int64_t index, Batch& batch) const {
  std::span<const int32_t> inputs = row_of(batch.inputs, index, options_.length);
  std::span<int32_t> segments = row_of(batch.inputs_segmentation, index, options_.length);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == options_.pad_id) segments[i] = 0;
  }
}

}  // namespace fathom
