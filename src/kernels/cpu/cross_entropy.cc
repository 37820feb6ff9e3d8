// Cross entropy over the vocabulary: the logits are read once forward, and read and overwritten once backward.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cross_entropy.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Logits that are gone over twice, for their maximum and then for their exponentials: 8 KiB of float32 stay in the
// first-level cache. Their sum is float32, that of the pieces float64. A multiple of all vector sizes.
constexpr int64_t kPiece = 2048;

// The largest of `count` logits; NaN is passed over.
template <typename T>
HWY_ATTR float largest(const T* x, int64_t count) {
  const Tag d;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  // In this order of the operands a NaN does not become the maximum.
  Vec top0 = hn::Set(d, kLowest), top1 = top0;
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    top0 = hn::Max(widen(x + i), top0);
    top1 = hn::Max(widen(x + i + kLanes), top1);
  }
  float top = hn::GetLane(hn::MaxOfLanes(d, hn::Max(top0, top1)));
  for (; i < count; ++i) {
    const float v = element(x[i]);
    top = v > top ? v : top;
  }
  return top;
}

// The sum of exp(x - top); NaN where one of x is.
template <typename T>
HWY_ATTR float exponentials(const T* x, int64_t count, float top) {
  const Tag d;
  const Vec shift = hn::Set(d, top);
  Vec sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    sum0 = hn::Add(sum0, exp_negative(hn::Sub(widen(x + i), shift)));
    sum1 = hn::Add(sum1, exp_negative(hn::Sub(widen(x + i + kLanes), shift)));
  }
  for (; i + kLanes <= count; i += kLanes) sum0 = hn::Add(sum0, exp_negative(hn::Sub(widen(x + i), shift)));
  if (i < count) {
    const auto inside = hn::FirstN(d, static_cast<size_t>(count - i));
    const Vec last = exp_negative(hn::Sub(widen(Tail<T>(x + i, count - i).data()), shift));
    sum1 = hn::Add(sum1, hn::IfThenElseZero(inside, last));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
}

template <typename T>
HWY_ATTR void forward_row(const CrossEntropy& a, int64_t r) {
  const T* x = static_cast<const T*>(a.logits) + r * a.vocab;
  float top = std::numeric_limits<float>::lowest();
  double sum = 0;
  for (int64_t i = 0; i < a.vocab; i += kPiece) {
    const int64_t count = std::min(kPiece, a.vocab - i);
    const float higher = std::max(top, largest(x + i, count));
    sum = sum * std::exp(static_cast<double>(top - higher)) + static_cast<double>(exponentials(x + i, count, higher));
    top = higher;
  }
  a.log_z[r] = static_cast<float>(static_cast<double>(top) + std::log(sum));
  const int64_t target = a.targets[r];
  a.chosen[r] = target >= 0 && target < a.vocab ? element(x[target]) : 0;
}

// Rows that have a logit of inf, or none above the lowest number, come out as NaN or -inf: they take the plain formula,
// which tells these apart.
HWY_ATTR void forward_rows(const CrossEntropy& a, int64_t first, int64_t rows) {
  for (int64_t r = first; r < first + rows; ++r) {
    if (a.dtype == DType::kF32) {
      forward_row<float>(a, r);
    } else {
      forward_row<uint16_t>(a, r);
    }
    if (std::isfinite(a.log_z[r])) continue;
    const int64_t bytes = r * a.vocab * byte_size(a.dtype);
    ref::cross_entropy({.dtype = a.dtype,
                        .rows = 1,
                        .vocab = a.vocab,
                        .logits = static_cast<const char*>(a.logits) + bytes,
                        .targets = a.targets + r,
                        .log_z = a.log_z + r,
                        .chosen = a.chosen + r});
  }
}

template <typename T>
HWY_ATTR void backward_row(const CrossEntropyGrad& a, int64_t r) {
  const Tag d;
  const T* x = static_cast<const T*>(a.logits) + r * a.vocab;
  T* out = static_cast<T*>(a.d_logits) + r * a.vocab;
  const Vec shift = hn::Set(d, a.log_z[r]), scale = hn::Set(d, a.d_log_z[r]);
  auto softmax = [&](const T* from) HWY_ATTR { return hn::Mul(exp_negative(hn::Sub(widen(from), shift)), scale); };
  const int64_t target = a.targets[r];
  const bool inside = target >= 0 && target < a.vocab;
  // Before x is overwritten, and in float32: the target's entry is rounded once.
  HWY_ALIGN float at_target[kLanes] = {};
  if (inside) hn::Store(hn::Add(softmax(Tail<T>(x + target, 1).data()), hn::Set(d, a.d_chosen[r])), d, at_target);
  int64_t i = 0;
  for (; i + kLanes <= a.vocab; i += kLanes) narrow(softmax(x + i), out + i);
  if (i < a.vocab) {
    Tail<T> last(x + i, a.vocab - i);
    narrow(softmax(last.data()), last.data());
    last.write_back(out + i);
  }
  if (inside) set_element(out[target], at_target[0]);
}

HWY_ATTR void backward_rows(const CrossEntropyGrad& a, int64_t first, int64_t rows) {
  for (int64_t r = first; r < first + rows; ++r) {
    if (a.dtype == DType::kF32) {
      backward_row<float>(a, r);
    } else {
      backward_row<uint16_t>(a, r);
    }
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_rows);

namespace {

// Some rows a task: enough logits (256 KiB of float32) that handing it out costs nothing beside them.
template <typename Rows>
void over_rows(int64_t rows, int64_t vocab, Parallel& parallel, const Rows& task) {
  const int64_t step = std::max<int64_t>(1, 65536 / std::max<int64_t>(vocab, 1));
  parallel.run((rows + step - 1) / step, [&](int64_t t) { task(t * step, std::min(step, rows - t * step)); });
}

}  // namespace

void cross_entropy(const CrossEntropy& a, Parallel& parallel) {
  over_rows(a.rows, a.vocab, parallel, [&](int64_t first, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(a, first, rows);
  });
}

void cross_entropy_grad(const CrossEntropyGrad& a, Parallel& parallel) {
  over_rows(a.rows, a.vocab, parallel, [&](int64_t first, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(backward_rows)(a, first, rows);
  });
}

}  // namespace fathom::cpu
#endif
