#include "base/host_array.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "base/bf16.h"
#include "base/half.h"

namespace fathom {
namespace {

template <class From, class To, class F>
void map_elements(const HostArray& from, HostArray& to, F f) {
  auto src = from.view<From>();
  auto dst = to.mutable_view<To>();
  for (size_t i = 0; i < src.size(); ++i) dst[i] = f(src[i]);
}

// Calls f(tag, load) with the storage type of `dtype` and a function from it to double.
template <class F>
void with_loader(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool:
      return f(uint8_t{}, [](uint8_t x) { return x != 0 ? 1.0 : 0.0; });
    case DType::kS8:
      return f(int8_t{}, [](int8_t x) { return static_cast<double>(x); });
    case DType::kS16:
      return f(int16_t{}, [](int16_t x) { return static_cast<double>(x); });
    case DType::kS32:
      return f(int32_t{}, [](int32_t x) { return static_cast<double>(x); });
    case DType::kS64:
      return f(int64_t{}, [](int64_t x) { return static_cast<double>(x); });
    case DType::kU8:
      return f(uint8_t{}, [](uint8_t x) { return static_cast<double>(x); });
    case DType::kU16:
      return f(uint16_t{}, [](uint16_t x) { return static_cast<double>(x); });
    case DType::kU32:
      return f(uint32_t{}, [](uint32_t x) { return static_cast<double>(x); });
    case DType::kU64:
      return f(uint64_t{}, [](uint64_t x) { return static_cast<double>(x); });
    case DType::kF16:
      return f(uint16_t{}, [](uint16_t x) { return static_cast<double>(half_to_float(x)); });
    case DType::kBF16:
      return f(uint16_t{}, [](uint16_t x) { return static_cast<double>(bf16_to_float(x)); });
    case DType::kF32:
      return f(float{}, [](float x) { return static_cast<double>(x); });
    case DType::kF64:
      return f(double{}, [](double x) { return x; });
    case DType::kF8E4M3FN:
    case DType::kF8E5M2:
      break;
  }
  throw std::invalid_argument("convert: float8 is dequantised with its scales, not converted");
}

}  // namespace

HostArray::HostArray(DType dtype, std::vector<int64_t> sizes, const std::byte* data, std::shared_ptr<const void> owner)
    : dtype_(dtype), sizes_(std::move(sizes)), data_(data), owner_(std::move(owner)) {}

HostArray HostArray::allocate(DType dtype, std::vector<int64_t> sizes) {
  HostArray out(dtype, std::move(sizes), nullptr, nullptr);
  size_t bytes = (static_cast<size_t>(out.bytes()) + 63) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes == 0 ? 64 : bytes);
  if (p == nullptr) throw std::bad_alloc();
  out.data_ = static_cast<const std::byte*>(p);
  out.owner_ = std::shared_ptr<const void>(p, [](const void* q) { std::free(const_cast<void*>(q)); });
  out.writable_ = true;
  return out;
}

int64_t HostArray::elements() const {
  if (std::ranges::find(sizes_, 0) != sizes_.end()) return 0;  // before a product of the others that does not fit
  int64_t n = 1;
  for (int64_t s : sizes_) {
    if (__builtin_mul_overflow(n, s, &n)) throw std::overflow_error("HostArray: more elements than 64 bits count");
  }
  return n;
}

void HostArray::require_element_size(size_t bytes) const {
  if (static_cast<int64_t>(bytes) == byte_size(dtype_)) return;
  throw std::logic_error(fmt::format("HostArray: elements of {} seen as {} bytes each", name(dtype_), bytes));
}

std::byte* HostArray::mutable_data() {
  if (!writable_) throw std::logic_error("HostArray: write to a view of foreign memory");
  return const_cast<std::byte*>(data_);
}

HostArray convert(const HostArray& from, DType to) {
  if (from.dtype() == to) return from;
  HostArray out = HostArray::allocate(to, from.sizes());
  with_loader(from.dtype(), [&](auto from_tag, auto load) {
    using From = decltype(from_tag);
    switch (to) {
      case DType::kBF16:
        return map_elements<From, uint16_t>(from, out,
                                            [&](From x) { return float_to_bf16(static_cast<float>(load(x))); });
      case DType::kF16:
        return map_elements<From, uint16_t>(from, out,
                                            [&](From x) { return float_to_half(static_cast<float>(load(x))); });
      case DType::kF32:
        return map_elements<From, float>(from, out, [&](From x) { return static_cast<float>(load(x)); });
      case DType::kF64:
        return map_elements<From, double>(from, out, load);
      case DType::kS32:
        return map_elements<From, int32_t>(from, out, [&](From x) { return static_cast<int32_t>(load(x)); });
      case DType::kS64:
        return map_elements<From, int64_t>(from, out, [&](From x) { return static_cast<int64_t>(load(x)); });
      default:
        throw std::invalid_argument("convert: no conversion to " + std::string(name(to)));
    }
  });
  return out;
}

}  // namespace fathom
