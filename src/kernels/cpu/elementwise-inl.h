// Vectors of float32 from and to arrays of float32 or bfloat16 (as uint16_t). Included once per instruction set.
#if defined(FATHOM_KERNELS_CPU_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FATHOM_KERNELS_CPU_ELEMENTWISE_INL_H_
#undef FATHOM_KERNELS_CPU_ELEMENTWISE_INL_H_
#else
#define FATHOM_KERNELS_CPU_ELEMENTWISE_INL_H_
#endif

#include <cstring>

#include "base/bf16.h"
#include "kernels/cpu/micro-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

using Tag16 = hn::Rebind<uint16_t, Tag>;

inline float element(float x) { return x; }
inline float element(uint16_t x) { return bf16_to_float(x); }
inline void set_element(float& to, float x) { to = x; }
inline void set_element(uint16_t& to, float x) { to = float_to_bf16(x); }

HWY_ATTR HWY_INLINE Vec widen(const float* from) { return hn::LoadU(Tag(), from); }
HWY_ATTR HWY_INLINE Vec widen(const uint16_t* from) {
  const hn::RebindToUnsigned<Tag> bits;
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(Tag16(), from))));
}

// The 16 high bits of x rounded to nearest even, in the low half of each lane; NaN stays a NaN.
HWY_ATTR HWY_INLINE hn::Vec<hn::RebindToSigned<Tag>> rounded_bits(Vec x) {
  const hn::RebindToUnsigned<Tag> unsigned_tag;
  const auto bits = hn::BitCast(unsigned_tag, x), high = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(high, hn::Set(unsigned_tag, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(unsigned_tag, 0x7fff)), odd));
  const auto quiet = hn::Or(high, hn::Set(unsigned_tag, 0x40));
  const auto nan = hn::RebindMask(unsigned_tag, hn::IsNaN(x));
  return hn::BitCast(hn::RebindToSigned<Tag>(), hn::IfThenElse(nan, quiet, rounded));
}

// Stores x rounded to the type of the array and gives the rounded numbers.
HWY_ATTR HWY_INLINE Vec narrow(Vec x, float* to) {
  hn::StoreU(x, Tag(), to);
  return x;
}
HWY_ATTR HWY_INLINE Vec narrow(Vec x, uint16_t* to) {
  const auto bits = rounded_bits(x);
  hn::StoreU(hn::DemoteTo(Tag16(), bits), Tag16(), to);
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(bits));
}

// x rounded to the type T.
template <typename T>
HWY_ATTR HWY_INLINE Vec round_to(Vec x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return x;
  } else {
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(rounded_bits(x)));
  }
}

// The last elements of an array, fewer than a vector, in a place where a vector can be loaded and stored. Zeros lie
// behind them.
template <typename T>
class Tail {
 public:
  Tail(const T* from, int64_t count) : count_(count) {
    std::memcpy(values_, from, static_cast<size_t>(count) * sizeof(T));
  }
  T* data() { return values_; }
  void write_back(T* to) const { std::memcpy(to, values_, static_cast<size_t>(count_) * sizeof(T)); }

 private:
  T values_[kLanes] = {};
  int64_t count_;
};

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
