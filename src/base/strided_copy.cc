#include "base/strided_copy.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace fathom {
namespace {

// The number of elements that one vector of 16 bytes holds is also the edge of the square that is transposed in
// registers. 16 bytes are there on every x86-64 and Arm.
template <class T>
struct Square;

template <>
struct Square<uint16_t> {
  using Vector [[gnu::vector_size(16)]] = uint16_t;
  static constexpr int64_t kEdge = 8;
  static Vector low(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
  static Vector high(Vector a, Vector b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
};

template <>
struct Square<uint32_t> {
  using Vector [[gnu::vector_size(16)]] = uint32_t;
  static constexpr int64_t kEdge = 4;
  static Vector low(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
  static Vector high(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
};

// Writes the transpose of a square: rows lie `from` elements apart in the source, `to` in the target. Interleaving row
// k with row k + edge / 2, log2(edge) times, is a transpose. Unrolled, all rows are in registers.
template <class T>
void transpose_square(const T* source, int64_t from, T* target, int64_t to) {
  using S = Square<T>;
  typename S::Vector rows[S::kEdge], next[S::kEdge];
#pragma GCC unroll 8
  for (int64_t i = 0; i < S::kEdge; ++i) std::memcpy(&rows[i], source + i * from, sizeof rows[i]);
#pragma GCC unroll 3
  for (int64_t step = 1; step < S::kEdge; step *= 2) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < S::kEdge / 2; ++i) {
      next[2 * i] = S::low(rows[i], rows[i + S::kEdge / 2]);
      next[2 * i + 1] = S::high(rows[i], rows[i + S::kEdge / 2]);
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < S::kEdge; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < S::kEdge; ++i) std::memcpy(target + i * to, &rows[i], sizeof rows[i]);
}

// Target [i][k] = source [k][i] for i < columns, k < rows.
template <class T>
void transpose(const T* source, int64_t from, T* target, int64_t to, int64_t rows, int64_t columns) {
  int64_t k = 0;
  if constexpr (sizeof(T) == 2 || sizeof(T) == 4) {
    constexpr int64_t kEdge = Square<T>::kEdge;
    for (; k + kEdge <= rows; k += kEdge) {
      int64_t i = 0;
      for (; i + kEdge <= columns; i += kEdge) transpose_square(source + k * from + i, from, target + i * to + k, to);
      for (; i < columns; ++i) {
        for (int64_t r = k; r < k + kEdge; ++r) target[i * to + r] = source[r * from + i];
      }
    }
  }
  for (; k < rows; ++k) {
    for (int64_t i = 0; i < columns; ++i) target[i * to + k] = source[k * from + i];
  }
}

// A tile of the source and what it becomes fit into a core's first cache together.
constexpr int64_t kTile = 64;

template <class T>
class Copy {
 public:
  explicit Copy(std::vector<StridedAxis> axes) : axes_(std::move(axes)) {
    for (const StridedAxis& a : axes_) {
      if (a.from == 1 && a.to != 1) column_ = &a;
      if (a.to == 1 && a.from != 1) row_ = &a;
    }
  }

  void run(size_t axis, const T* source, T* target) const {
    if (axis == axes_.size()) return inner(source, target);
    const StridedAxis& a = axes_[axis];
    if (is_inner(a)) return run(axis + 1, source, target);
    for (int64_t i = 0; i < a.size; ++i) run(axis + 1, source + i * a.from, target + i * a.to);
  }

 private:
  bool transposes() const { return column_ != nullptr && row_ != nullptr; }
  bool is_inner(const StridedAxis& a) const {
    return transposes() ? &a == column_ || &a == row_ : a.from == 1 && a.to == 1;
  }

  void inner(const T* source, T* target) const {
    if (!transposes()) {
      const bool contiguous = !axes_.empty() && axes_.back().from == 1 && axes_.back().to == 1;
      std::memcpy(target, source, sizeof(T) * static_cast<size_t>(contiguous ? axes_.back().size : 1));
      return;
    }
    for (int64_t k = 0; k < row_->size; k += kTile) {
      for (int64_t i = 0; i < column_->size; i += kTile) {
        move_tile(source + k * row_->from + i, target + i * column_->to + k, std::min(kTile, row_->size - k),
                  std::min(kTile, column_->size - i));
      }
    }
  }

  // By way of memory of its own: rows of the target often lie a power of two apart, where few of them can be in a cache
  // at a time, so each of their lines is written once and whole.
  void move_tile(const T* source, T* target, int64_t rows, int64_t columns) const {
    alignas(64) T tile[kTile * kTile];
    transpose(source, row_->from, tile, kTile, rows, columns);
    for (int64_t i = 0; i < columns; ++i) {
      std::memcpy(target + i * column_->to, tile + i * kTile, sizeof(T) * static_cast<size_t>(rows));
    }
  }

  std::vector<StridedAxis> axes_;
  const StridedAxis* column_ = nullptr;  // neighbours in the source alone
  const StridedAxis* row_ = nullptr;     // neighbours in the target alone
};

// The same movement with axes of one element left out, and axes joined that lie one behind the other on both sides.
std::vector<StridedAxis> joined(std::span<const StridedAxis> axes) {
  std::vector<StridedAxis> out;
  for (const StridedAxis& a : axes) {
    if (a.size == 1) continue;
    if (!out.empty() && out.back().from == a.size * a.from && out.back().to == a.size * a.to) {
      out.back() = {out.back().size * a.size, a.from, a.to};
    } else {
      out.push_back(a);
    }
  }
  return out;
}

template <class T>
void copy(const std::byte* source, std::byte* target, std::span<const StridedAxis> axes) {
  Copy<T>(joined(axes)).run(0, reinterpret_cast<const T*>(source), reinterpret_cast<T*>(target));
}

}  // namespace

void strided_copy(int64_t width, const std::byte* source, std::byte* target, std::span<const StridedAxis> axes) {
  if (std::ranges::any_of(axes, [](const StridedAxis& a) { return a.size == 0; })) return;
  switch (width) {
    case 1:
      return copy<uint8_t>(source, target, axes);
    case 2:
      return copy<uint16_t>(source, target, axes);
    case 4:
      return copy<uint32_t>(source, target, axes);
    case 8:
      return copy<uint64_t>(source, target, axes);
    default:
      throw std::invalid_argument("strided_copy: elements of " + std::to_string(width) + " bytes");
  }
}

std::vector<int64_t> row_major_strides(std::span<const int64_t> sizes) {
  std::vector<int64_t> out(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) out[i - 1] = out[i] * sizes[i];
  return out;
}

void for_each_box_of_run(std::span<const int64_t> sizes, int64_t first, int64_t count,
                         const std::function<void(std::span<const int64_t>, std::span<const int64_t>)>& box) {
  const std::vector<int64_t> strides = row_major_strides(sizes);
  while (count > 0) {
    // The widest box that begins at `first`: whole rows of the slowest axis that allows it.
    size_t axis = 0;
    while (axis + 1 < sizes.size() && (first % strides[axis] != 0 || count < strides[axis])) ++axis;
    std::vector<int64_t> start(sizes.size()), extent(sizes.size(), 1);
    for (size_t i = 0; i < sizes.size(); ++i) {
      start[i] = i <= axis ? first / strides[i] % sizes[i] : 0;
      if (i > axis) extent[i] = sizes[i];
    }
    int64_t taken = 1;
    if (!sizes.empty()) {
      extent[axis] = std::min(sizes[axis] - start[axis], count / strides[axis]);
      taken = extent[axis] * strides[axis];
    }
    box(start, extent);
    first += taken;
    count -= taken;
  }
}

}  // namespace fathom
