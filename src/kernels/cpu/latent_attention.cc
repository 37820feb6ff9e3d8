// Few queries against many latents: blocks of keys beside each other, each with a softmax of its own, put together at
// the end. A block's latents are packed for two products with the queries of all heads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/latent_attention.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <limits>

#include "kernels/abi.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/scratch.h"
#include "kernels/latent_attention.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// The scores [keys] of one query to exponentials, zeros where it sees no key. Gives their sum; `top` is what was taken
// from the scores. `more` is added to the scores first.
HWY_ATTR float latent_softmax(float* scores, const float* more, const bool* visible, int64_t keys, float& top) {
  const Tag d;
  float most = static_cast<float>(abi::kMasked);
  for (int64_t i = 0; i < keys; ++i) {
    scores[i] += more[i];
    // In this order a NaN does not become the maximum; it comes through as its own exponential.
    if (visible[i] && scores[i] > most) most = scores[i];
  }
  top = most;
  float sum = 0;
  for (int64_t i = 0; i < keys; i += kLanes) {
    const int64_t count = std::min(kLanes, keys - i);
    Tail<float> part(scores + i, count);
    const Vec p = exp_negative(hn::Sub(hn::LoadU(d, part.data()), hn::Set(d, most)));
    hn::StoreU(p, d, part.data());
    for (int64_t k = 0; k < count; ++k) {
      scores[i + k] = visible[i + k] ? part.data()[k] : 0;
      sum += scores[i + k];
    }
  }
  return sum;
}

// to += factor * from, or to = factor * from.
HWY_ATTR void add_scaled(const float* from, float factor, int64_t count, bool add, float* to) {
  const Tag d;
  const Vec f = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec before = add ? hn::LoadU(d, to + i) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(f, hn::LoadU(d, from + i), before), d, to + i);
  }
  for (; i < count; ++i) to[i] = (add ? to[i] : 0) + factor * from[i];
}

// e^x for x <= 0.
HWY_ATTR float shrink_factor(float x) { return hn::GetLane(exp_negative(hn::Set(Tag(), x))); }

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(latent_softmax);
HWY_EXPORT(add_scaled);
HWY_EXPORT(shrink_factor);

namespace {

// Keys of a block: their latents fit into the second-level cache.
constexpr int64_t kKeys = 256;

// What the queries of a row of the batch have of one block of keys.
struct BlockPart {
  float *out, *top, *sum;  // [rows, c], [rows], [rows]; where the sum is 0, out holds nothing
};

struct Problem {
  const LatentAttention& a;
  int64_t rows = a.s * a.h;  // queries of a row of the batch
  int64_t blocks = (a.t + kKeys - 1) / kKeys;
  float* parts = nullptr;

  int64_t part_size() const { return rows * (a.c + 2); }
  BlockPart part(int64_t batch, int64_t block) const {
    float* at = parts + (batch * blocks + block) * part_size();
    return {at, at + rows * a.c, at + rows * (a.c + 1)};
  }
  bool seen(int64_t batch, int64_t block) const {
    for (int64_t s = 0; s < a.s; ++s) {
      const bool* row = a.visible + (batch * a.s + s) * a.t;
      if (std::any_of(row + block * kKeys, row + std::min((block + 1) * kKeys, a.t), [](bool v) { return v; })) {
        return true;
      }
    }
    return false;
  }
};

Strided rows_of(const LatentAttention& a, const void* data, int64_t first, int64_t width) {
  return {static_cast<const char*>(data) + first * width * byte_size(a.dtype), a.dtype, width, 1};
}
Strided columns_of(Strided x) { return {x.data, x.dtype, 1, x.row}; }

void attend_to_block(const Problem& n, int64_t batch, int64_t block) {
  thread_local Scratch scratch;
  const LatentAttention& a = n.a;
  const BlockPart to = n.part(batch, block);
  const int64_t first = block * kKeys, keys = std::min(kKeys, a.t - first), key = batch * a.t + first;
  const Strided kv = rows_of(a, a.kv, key, a.c), rotated = rows_of(a, a.rotated, key, a.w);
  float *scores = scratch.reserve(2 * n.rows * keys), *more = scores + n.rows * keys;
  auto products = [&](const void* q, int64_t width, const Strided& k, float* out) {
    const Strided queries = rows_of(a, q, batch * n.rows, width);
    gemm({.m = n.rows, .n = keys, .k = width, .a = queries, .b = columns_of(k), .c = out, .c_row = keys});
  };
  products(a.q, a.c, kv, scores);
  products(a.q_rotated, a.w, rotated, more);
  for (int64_t r = 0; r < n.rows; ++r) {
    const bool* visible = a.visible + (batch * a.s + r / a.h) * a.t + first;
    to.sum[r] = HWY_DYNAMIC_DISPATCH(latent_softmax)(scores + r * keys, more + r * keys, visible, keys, to.top[r]);
  }
  gemm({.m = n.rows, .n = a.c, .k = keys, .a = {scores, DType::kF32, keys, 1}, .b = kv, .c = to.out, .c_row = a.c});
}

void put_together(const Problem& n, int64_t batch, int64_t row) {
  const LatentAttention& a = n.a;
  float top = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < n.blocks; ++i) top = std::max(n.part(batch, i).top[row], top);
  float sum = 0;
  float* out = n.part(batch, 0).out + row * a.c;
  for (int64_t i = 0; i < n.blocks; ++i) {
    const BlockPart part = n.part(batch, i);
    if (part.sum[row] == 0) continue;
    const float factor = HWY_DYNAMIC_DISPATCH(shrink_factor)(part.top[row] - top);
    HWY_DYNAMIC_DISPATCH(add_scaled)(part.out + row * a.c, factor, a.c, sum != 0, out);
    sum += factor * part.sum[row];
  }
  const int64_t at = (batch * n.rows + row) * a.c;
  for (int64_t i = 0; i < a.c; ++i) {
    const float value = sum == 0 ? 0 : out[i] / sum;
    if (a.dtype == DType::kF32) {
      static_cast<float*>(a.out)[at + i] = value;
    } else {
      static_cast<uint16_t*>(a.out)[at + i] = float_to_bf16(value);
    }
  }
}

}  // namespace

void latent_attention(const LatentAttention& a, Parallel& parallel) {
  thread_local Scratch scratch;
  Problem n{.a = a};
  n.parts = scratch.reserve(a.b * n.blocks * n.part_size());
  parallel.run(a.b * n.blocks, [&](int64_t task) {
    const int64_t batch = task / n.blocks, block = task % n.blocks;
    if (n.seen(batch, block)) return attend_to_block(n, batch, block);
    const BlockPart part = n.part(batch, block);
    std::fill(part.top, part.top + n.rows, static_cast<float>(abi::kMasked));
    std::fill(part.sum, part.sum + n.rows, 0.0f);
  });
  parallel.run(a.b, [&](int64_t batch) {
    for (int64_t row = 0; row < n.rows; ++row) put_together(n, batch, row);
  });
}

}  // namespace fathom::cpu
#endif
