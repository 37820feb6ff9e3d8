// The activation of the feed-forward layers: one pass over the arrays at the rate of memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gated_silu.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/gated_silu.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// 1 / (1 + exp(-x)), by the exponential of what is at most zero.
HWY_ATTR HWY_INLINE Vec sigmoid(Vec x) {
  const Tag d;
  const Vec one = hn::Set(d, 1.0f);
  const Vec e = exp_negative(hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
}

template <typename T>
HWY_ATTR HWY_INLINE void silu_vector(const T* gate, const T* up, T* y) {
  const Vec x = widen(gate);
  narrow(hn::Mul(hn::Mul(x, sigmoid(x)), widen(up)), y);
}

template <typename T>
HWY_ATTR HWY_INLINE void silu_grad_vector(const T* gate, const T* up, const T* d_at, T* d_gate, T* d_up) {
  const Vec x = widen(gate), d = widen(d_at), one = hn::Set(Tag(), 1.0f);
  const Vec s = sigmoid(x);
  const Vec slope = hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));
  // All is read before anything is written: the last vectors of a block take the place of their operands.
  const Vec to_gate = hn::Mul(hn::Mul(d, widen(up)), slope);
  narrow(hn::Mul(d, hn::Mul(x, s)), d_up);
  narrow(to_gate, d_gate);
}

template <typename T>
HWY_ATTR void silu_block(const GatedSilu& a, int64_t first, int64_t count) {
  const T *gate = static_cast<const T*>(a.gate) + first, *up = static_cast<const T*>(a.up) + first;
  T* y = static_cast<T*>(a.y) + first;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) silu_vector(gate + i, up + i, y + i);
  if (i == count) return;
  Tail<T> last_gate(gate + i, count - i), last_up(up + i, count - i);
  silu_vector(last_gate.data(), last_up.data(), last_gate.data());
  last_gate.write_back(y + i);
}

template <typename T>
HWY_ATTR void silu_grad_block(const GatedSiluDerivative& a, int64_t first, int64_t count) {
  const T *gate = static_cast<const T*>(a.gate) + first, *up = static_cast<const T*>(a.up) + first;
  const T* d = static_cast<const T*>(a.d) + first;
  T *d_gate = static_cast<T*>(a.d_gate) + first, *d_up = static_cast<T*>(a.d_up) + first;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) silu_grad_vector(gate + i, up + i, d + i, d_gate + i, d_up + i);
  if (i == count) return;
  Tail<T> last_gate(gate + i, count - i), last_up(up + i, count - i), last_d(d + i, count - i);
  silu_grad_vector(last_gate.data(), last_up.data(), last_d.data(), last_gate.data(), last_up.data());
  last_gate.write_back(d_gate + i);
  last_up.write_back(d_up + i);
}

HWY_ATTR void silu_any(const GatedSilu& a, int64_t first, int64_t count) {
  if (a.dtype == DType::kF32) {
    silu_block<float>(a, first, count);
  } else {
    silu_block<uint16_t>(a, first, count);
  }
}

HWY_ATTR void silu_grad_any(const GatedSiluDerivative& a, int64_t first, int64_t count) {
  if (a.dtype == DType::kF32) {
    silu_grad_block<float>(a, first, count);
  } else {
    silu_grad_block<uint16_t>(a, first, count);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(silu_any);
HWY_EXPORT(silu_grad_any);

namespace {

// Elements of a task: enough to be worth handing to another thread.
constexpr int64_t kTask = 32768;

// Calls block(first, count) for all parts of the array.
template <typename Block>
void for_blocks(int64_t count, Parallel& parallel, const Block& block) {
  parallel.run((count + kTask - 1) / kTask, [&](int64_t t) { block(t * kTask, std::min(kTask, count - t * kTask)); });
}

}  // namespace

void gated_silu(const GatedSilu& a, Parallel& parallel) {
  for_blocks(a.count, parallel, [&](int64_t first, int64_t n) { HWY_DYNAMIC_DISPATCH(silu_any)(a, first, n); });
}

void gated_silu_grad(const GatedSiluDerivative& a, Parallel& parallel) {
  for_blocks(a.count, parallel, [&](int64_t first, int64_t n) { HWY_DYNAMIC_DISPATCH(silu_grad_any)(a, first, n); });
}

}  // namespace fathom::cpu
#endif
