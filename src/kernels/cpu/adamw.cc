// AdamW and sums of squares: one pass over the arrays at the rate of memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/cpu/elementwise-inl.h"

// Elements of a task: the four arrays' parts (512 KiB in float32) stream through, and a million parameters make tasks
// for many cores. Fixed, as the sum of squares adds one number a task.
#ifndef FATHOM_KERNELS_CPU_ADAMW_BLOCK
#define FATHOM_KERNELS_CPU_ADAMW_BLOCK
namespace fathom::cpu {
constexpr int64_t kBlock = 32768;
}
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Elements whose squares are summed in float32, 128 in a lane; such sums are added in float64. (Squares of bfloat16
// numbers have few digits: the roundings of a longer sum do not cancel.)
constexpr int64_t kSummed = 128 * kLanes;

// The numbers of a step in every lane.
struct AdamWConstants {
  Vec rate, mu_scale, nu_scale, clip, b1, rest1, b2, rest2, eps, eps_root, weight_decay;
};

HWY_ATTR AdamWConstants constants_of(const AdamWStep& a) {
  const Tag d;
  auto set = [&](double x) HWY_ATTR { return hn::Set(d, static_cast<float>(x)); };
  return {.rate = hn::Set(d, a.rate),
          .mu_scale = hn::Set(d, a.mu_scale),
          .nu_scale = hn::Set(d, a.nu_scale),
          .clip = hn::Set(d, a.clip),
          .b1 = set(a.b1),
          .rest1 = set(1.0 - a.b1),
          .b2 = set(a.b2),
          .rest2 = set(1.0 - a.b2),
          .eps = set(a.eps),
          .eps_root = set(a.eps_root),
          .weight_decay = set(a.weight_decay)};
}

// One vector of elements; gives the new parameters as stored.
template <typename G, typename W, typename M>
HWY_ATTR HWY_INLINE Vec adamw_vector(const AdamWConstants& c, const G* gradient, W* parameter, M* mu_at, W* nu_at) {
  const Vec g = round_to<G>(hn::Mul(widen(gradient), c.clip));
  const Vec w = widen(parameter);
  const Vec mu = hn::MulAdd(widen(mu_at), c.b1, hn::Mul(g, c.rest1));
  const Vec nu = hn::MulAdd(widen(nu_at), c.b2, hn::Mul(hn::Mul(g, g), c.rest2));
  const Vec root = hn::Sqrt(hn::MulAdd(nu, c.nu_scale, c.eps_root));
  const Vec direction = hn::Div(hn::Mul(mu, c.mu_scale), hn::Add(root, c.eps));
  const Vec step = hn::MulAdd(w, c.weight_decay, direction);
  narrow(mu, mu_at);
  narrow(nu, nu_at);
  return narrow(hn::NegMulAdd(step, c.rate, w), parameter);
}

// Up to kSummed elements.
template <typename G, typename W, typename M>
HWY_ATTR float adamw_part(const AdamWStep& a, const AdamWConstants& c, int64_t first, int64_t count) {
  const G* gradient = static_cast<const G*>(a.gradient) + first;
  W* parameter = static_cast<W*>(a.parameter) + first;
  M* mu = static_cast<M*>(a.mu) + first;
  W* nu = static_cast<W*>(a.nu) + first;
  Vec squares = hn::Zero(Tag());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec w = adamw_vector(c, gradient + i, parameter + i, mu + i, nu + i);
    squares = hn::MulAdd(w, w, squares);
  }
  if (i < count) {
    Tail<G> g(gradient + i, count - i);
    Tail<W> w(parameter + i, count - i), v(nu + i, count - i);
    Tail<M> m(mu + i, count - i);
    adamw_vector(c, g.data(), w.data(), m.data(), v.data());
    w.write_back(parameter + i);
    m.write_back(mu + i);
    v.write_back(nu + i);
    // Lanes behind the tail may have left zero (eps = 0): they are loaded as zeros again.
    const Vec stored = widen(Tail<W>(parameter + i, count - i).data());
    squares = hn::MulAdd(stored, stored, squares);
  }
  return hn::GetLane(hn::SumOfLanes(Tag(), squares));
}

template <typename G, typename W, typename M>
HWY_ATTR double adamw_block(const AdamWStep& a, int64_t first, int64_t count) {
  const AdamWConstants c = constants_of(a);
  double sum = 0;
  for (int64_t i = 0; i < count; i += kSummed) {
    sum += static_cast<double>(adamw_part<G, W, M>(a, c, first + i, std::min(kSummed, count - i)));
  }
  return sum;
}

// By the types of gradient, parameter and mu.
HWY_ATTR double adamw_any(const AdamWStep& a, int64_t first, int64_t count) {
  auto with_mu = [&]<typename G, typename W>(G, W) HWY_ATTR {
    return a.mu_dtype == DType::kF32 ? adamw_block<G, W, float>(a, first, count)
                                     : adamw_block<G, W, uint16_t>(a, first, count);
  };
  auto with_parameter = [&]<typename G>(G g) HWY_ATTR {
    return a.parameter_dtype == DType::kF32 ? with_mu(g, float()) : with_mu(g, uint16_t());
  };
  return a.gradient_dtype == DType::kF32 ? with_parameter(float()) : with_parameter(uint16_t());
}

// Up to kSummed elements.
template <typename T>
HWY_ATTR float squares_part(const T* x, int64_t count) {
  const Tag d;
  // Four sums: one would wait for its own last addition.
  Vec sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (int64_t k = 0; k < 4; ++k) {
      const Vec v = widen(x + i + k * kLanes);
      sums[k] = hn::MulAdd(v, v, sums[k]);
    }
  }
  for (; i < count; i += kLanes) {
    const Vec v = i + kLanes <= count ? widen(x + i) : widen(Tail<T>(x + i, count - i).data());
    sums[0] = hn::MulAdd(v, v, sums[0]);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
}

template <typename T>
HWY_ATTR double squares_block(const T* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i += kSummed) {
    sum += static_cast<double>(squares_part(x + i, std::min(kSummed, count - i)));
  }
  return sum;
}

HWY_ATTR double squares_any(DType dtype, const void* x, int64_t first, int64_t count) {
  if (dtype == DType::kF32) return squares_block(static_cast<const float*>(x) + first, count);
  return squares_block(static_cast<const uint16_t*>(x) + first, count);
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(adamw_any);
HWY_EXPORT(squares_any);

namespace {

// The sum of what `block` gives for each block of the array, added in the blocks' order.
template <typename Block>
float sum_over_blocks(int64_t count, Parallel& parallel, const Block& block) {
  std::vector<double> sums(static_cast<size_t>((count + kBlock - 1) / kBlock));
  parallel.run(static_cast<int64_t>(sums.size()), [&](int64_t t) {
    sums[static_cast<size_t>(t)] = block(t * kBlock, std::min(kBlock, count - t * kBlock));
  });
  double total = 0;
  for (double s : sums) total += s;
  return static_cast<float>(total);
}

}  // namespace

float adamw(const AdamWStep& a, Parallel& parallel) {
  return sum_over_blocks(a.count, parallel, [&](int64_t first, int64_t count) {
    return HWY_DYNAMIC_DISPATCH(adamw_any)(a, first, count);
  });
}

float sum_of_squares(DType dtype, const void* x, int64_t count, Parallel& parallel) {
  return sum_over_blocks(
      count, parallel, [&](int64_t first, int64_t n) { return HWY_DYNAMIC_DISPATCH(squares_any)(dtype, x, first, n); });
}

}  // namespace fathom::cpu
#endif
