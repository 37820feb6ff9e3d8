// A tensor in host memory: element type, sizes, and shared ownership of the bytes (heap, or another library's).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace fathom {

// Row-major bytes. Copies share the bytes; `owner` keeps them alive (a heap block, an Arrow buffer).
class HostArray {
 public:
  HostArray() = default;
  // A view of `data` that keeps `owner` alive. `data` holds byte_size(dtype) x product(sizes) bytes.
  HostArray(DType dtype, std::vector<int64_t> sizes, const std::byte* data, std::shared_ptr<const void> owner);
  // New memory aligned to 64 bytes (what the CPU plugin needs for zero-copy), not initialised.
  static HostArray allocate(DType dtype, std::vector<int64_t> sizes);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& sizes() const { return sizes_; }
  int64_t elements() const;
  int64_t bytes() const { return elements() * byte_size(dtype_); }
  const std::byte* data() const { return data_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  // Writable bytes; only for arrays made by allocate().
  std::byte* mutable_data();

  // Typed views; the caller names a T of the element type's size (uint16_t for bfloat16). Throws std::logic_error for a
  // T of another size.
  template <class T>
  std::span<const T> view() const {
    require_element_size(sizeof(T));
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(elements())};
  }
  template <class T>
  std::span<T> mutable_view() {
    require_element_size(sizeof(T));
    return {reinterpret_cast<T*>(mutable_data()), static_cast<size_t>(elements())};
  }

 private:
  void require_element_size(size_t bytes) const;

  DType dtype_ = DType::kF32;
  std::vector<int64_t> sizes_;
  const std::byte* data_ = nullptr;
  bool writable_ = false;
  std::shared_ptr<const void> owner_;
};

// Copies with the element type changed (bf16, f16, f32, f64, integers); rounds to nearest even into bf16 and f16.
HostArray convert(const HostArray& from, DType to);

}  // namespace fathom
