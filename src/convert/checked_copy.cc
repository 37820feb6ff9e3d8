#include "convert/checked_copy.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/bf16.h"
#include "base/half.h"

namespace fathom {
namespace {

// A loop of a known length over memory that does not overlap is one that the compiler makes vectors of.
constexpr int64_t kBlock = 64;

// The element types as their bits are stored.
struct F32 {
  using Bits = uint32_t;
  static constexpr Bits kExponent = 0x7f800000;
  static float load(Bits x) { return std::bit_cast<float>(x); }
  static Bits store(float x) { return std::bit_cast<Bits>(x); }
};
struct BF16 {
  using Bits = uint16_t;
  static constexpr Bits kExponent = 0x7f80;
  static float load(Bits x) { return bf16_to_float(x); }
  // float_to_bf16 without its branch for NaN: what is not finite is refused.
  static Bits store(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    return static_cast<Bits>((bits & F32::kExponent) == F32::kExponent ? kExponent : rounded);
  }
};
struct F16 {
  using Bits = uint16_t;
  static constexpr Bits kExponent = 0x7c00;
  static float load(Bits x) { return half_to_float(x); }
  static Bits store(float x) { return float_to_half(x); }
};
struct F64 {
  using Bits = uint64_t;
  static constexpr Bits kExponent = 0x7ff0000000000000;
  static double load(Bits x) { return std::bit_cast<double>(x); }
  static Bits store(double x) { return std::bit_cast<Bits>(x); }
};

// The sign bit is set when the number is not finite: one more in a full exponent carries into it.
template <class T>
typename T::Bits not_finite(typename T::Bits x) {
  using Bits = typename T::Bits;
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  constexpr Bits kOne = static_cast<Bits>(T::kExponent & (~T::kExponent + 1));
  return static_cast<Bits>(((x & ~kSign) + kOne) & kSign);
}

// Of so many numbers: 0 when all that are written are finite.
template <class From, class To, int64_t kCount>
typename To::Bits copy_some(const typename From::Bits* __restrict from, typename To::Bits* __restrict to) {
  using Wide = decltype(To::load(0));
  typename To::Bits found = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const typename To::Bits y = To::store(static_cast<Wide>(From::load(from[i])));
    to[i] = y;
    found = static_cast<typename To::Bits>(found | not_finite<To>(y));
  }
  return found;
}

template <class From, class To>
bool copy_all(const std::byte* source, std::byte* target, int64_t count) {
  const auto* from = reinterpret_cast<const typename From::Bits*>(source);
  auto* to = reinterpret_cast<typename To::Bits*>(target);
  typename To::Bits found = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    found = static_cast<typename To::Bits>(found | copy_some<From, To, kBlock>(from + i, to + i));
  }
  for (; i < count; ++i) found = static_cast<typename To::Bits>(found | copy_some<From, To, 1>(from + i, to + i));
  return found == 0;
}

template <class T>
bool look_at_all(const std::byte* numbers, int64_t count) {
  const auto* x = reinterpret_cast<const typename T::Bits*>(numbers);
  typename T::Bits found = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (int64_t k = 0; k < kBlock; ++k) found = static_cast<typename T::Bits>(found | not_finite<T>(x[i + k]));
  }
  for (; i < count; ++i) found = static_cast<typename T::Bits>(found | not_finite<T>(x[i]));
  return found == 0;
}

// Calls f with the struct of a type.
template <class F>
auto with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kF32:
      return f(F32{});
    case DType::kBF16:
      return f(BF16{});
    case DType::kF16:
      return f(F16{});
    case DType::kF64:
      return f(F64{});
    default:
      throw std::invalid_argument("weights are floating-point numbers, not " + std::string(name(dtype)));
  }
}

}  // namespace

bool copy_checked(DType from, const std::byte* source, DType to, std::byte* target, int64_t count) {
  if (from == to) {
    std::memcpy(target, source, static_cast<size_t>(count * byte_size(to)));
    return all_finite(to, target, count);
  }
  return with_type(from, [&](auto f) {
    return with_type(to, [&](auto t) { return copy_all<decltype(f), decltype(t)>(source, target, count); });
  });
}

bool all_finite(DType dtype, const std::byte* numbers, int64_t count) {
  return with_type(dtype, [&](auto t) { return look_at_all<decltype(t)>(numbers, count); });
}

}  // namespace fathom
