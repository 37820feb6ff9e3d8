#include "base/array_slice.h"

#include <cstring>

namespace fathom {

int64_t element_count(std::span<const int64_t> sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}

int64_t ArraySlice::elements() const { return element_count(sizes); }

std::optional<ArraySlice> intersection(const ArraySlice& a, const ArraySlice& b) {
  ArraySlice out;
  for (size_t i = 0; i < a.start.size(); ++i) {
    const int64_t start = std::max(a.start[i], b.start[i]);
    const int64_t end = std::min(a.start[i] + a.sizes[i], b.start[i] + b.sizes[i]);
    if (end <= start) return std::nullopt;
    out.start.push_back(start);
    out.sizes.push_back(end - start);
  }
  return out;
}

SliceRuns::SliceRuns(const std::vector<int64_t>& whole, const ArraySlice& slice) {
  if (slice.elements() == 0) return;
  // Axes from `inner` on are whole and form one run with the axis before them.
  size_t inner = whole.size();
  while (inner > 0 && slice.sizes[inner - 1] == whole[inner - 1]) --inner;
  if (inner > 0) --inner;
  int64_t stride = 1;
  length_ = 1;
  strides_.resize(inner);
  for (size_t i = whole.size(); i-- > 0;) {
    first_ += slice.start[i] * stride;
    if (i < inner) {
      strides_[i] = stride;
    } else {
      length_ *= slice.sizes[i];
    }
    stride *= whole[i];
  }
  sizes_.assign(slice.sizes.begin(), slice.sizes.begin() + static_cast<std::ptrdiff_t>(inner));
  count_ = 1;
  for (int64_t s : sizes_) count_ *= s;
}

int64_t SliceRuns::place(int64_t k) const {
  int64_t at = first_;
  for (size_t i = sizes_.size(); i-- > 0;) {
    at += k % sizes_[i] * strides_[i];
    k /= sizes_[i];
  }
  return at;
}

HostArray cut(const HostArray& whole, const ArraySlice& slice) {
  const int64_t width = byte_size(whole.dtype());
  const SliceRuns runs(whole.sizes(), slice);
  if (runs.count() <= 1) {
    const int64_t first = runs.count() == 0 ? 0 : runs.place(0);
    return HostArray(whole.dtype(), slice.sizes, whole.data() + first * width, whole.owner());
  }
  HostArray out = HostArray::allocate(whole.dtype(), slice.sizes);
  for_each_run(runs, 0, whole.elements(), [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(out.mutable_data() + to * width, whole.data() + from * width, static_cast<size_t>(count * width));
  });
  return out;
}

void paste(HostArray& whole, const ArraySlice& slice, const HostArray& part) {
  const int64_t width = byte_size(whole.dtype());
  for_each_run(SliceRuns(whole.sizes(), slice), 0, whole.elements(), [&](int64_t to, int64_t from, int64_t count) {
    std::memcpy(whole.mutable_data() + to * width, part.data() + from * width, static_cast<size_t>(count * width));
  });
}

}  // namespace fathom
