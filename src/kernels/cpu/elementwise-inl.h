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

// Some floats, or as many bfloat16 numbers as floats.
template <typename D>
HWY_ATTR HWY_INLINE hn::Vec<D> load_float(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <typename D>
HWY_ATTR HWY_INLINE hn::Vec<D> load_float(D d, const uint16_t* from) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from))));
}

template <typename T>
HWY_ATTR HWY_INLINE Vec widen(const T* from) {
  return load_float(Tag(), from);
}

// The 16 high bits of x rounded to nearest even, in the low half of each lane; NaN stays a NaN.
HWY_ATTR HWY_INLINE hn::Vec<hn::RebindToUnsigned<Tag>> rounded_bits(Vec x) {
  const hn::RebindToUnsigned<Tag> d32;
  const auto bits = hn::BitCast(d32, x);
  const auto top = hn::ShiftRight<16>(bits);
  const auto half = hn::Add(hn::Set(d32, 0x7fff), hn::And(top, hn::Set(d32, 1)));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, half));
  const auto nan = hn::RebindMask(d32, hn::IsNaN(x));
  return hn::IfThenElse(nan, hn::Or(top, hn::Set(d32, 0x40)), rounded);
}

// Stores x rounded to the type of the array and gives the rounded numbers.
HWY_ATTR HWY_INLINE Vec narrow(Vec x, float* to) {
  hn::StoreU(x, Tag(), to);
  return x;
}
HWY_ATTR HWY_INLINE Vec narrow(Vec x, uint16_t* to) {
  const auto bits = rounded_bits(x);
  hn::StoreU(hn::TruncateTo(Tag16(), bits), Tag16(), to);
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

// e^x for x <= 0, relative error 2e-7; 0 below the normal numbers, NaN for NaN (Highway's own gives 0, which would hide
// a broken step). Cephes' polynomial for e^r, |r| <= ln(2) / 2.
HWY_ATTR HWY_INLINE Vec exp_negative(Vec x) {
  const Tag d;
  const hn::RebindToSigned<Tag> di;
  const Vec n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504088896341f)));
  Vec r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  Vec y = hn::Set(d, 1.9875691500e-4f);
  y = hn::MulAdd(y, r, hn::Set(d, 1.3981999507e-3f));
  y = hn::MulAdd(y, r, hn::Set(d, 8.3334519073e-3f));
  y = hn::MulAdd(y, r, hn::Set(d, 4.1665795894e-2f));
  y = hn::MulAdd(y, r, hn::Set(d, 1.6666665459e-1f));
  y = hn::MulAdd(y, r, hn::Set(d, 5.0000001201e-1f));
  y = hn::Add(hn::MulAdd(hn::Mul(r, r), y, r), hn::Set(d, 1.0f));
  // 2^n from its exponent bits.
  const auto bits = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  y = hn::Mul(y, hn::BitCast(d, bits));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), y);
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
