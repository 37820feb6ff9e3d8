// The forward pass of attention over lists of keys: a block of queries of one head against blocks of keys, with an
// online softmax.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selected_attention.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <cmath>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/selected-inl.h"
#include "kernels/selected_attention.h"
#include "kernels/selection.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

int64_t block_size() { return kBlock; }

// The queries of a task with what they have summed up so far, and the block of keys at hand.
struct SelectedBlock {
  Striped q, out, k, v;  // out: not yet divided by sum
  float *top = nullptr, *sum = nullptr;
  float* scores = nullptr;  // of the pairs
  Pairs pairs;
  std::array<int32_t, kBlock> cursors{};

  void lay_out(const SelectedShape& n, Parts& parts) {
    q = {n.w, parts.take(Striped::size(n.w))};
    out = {n.u, parts.take(Striped::size(n.u))};
    k = {n.w, parts.take(Striped::size(n.w))};
    v = {n.u, parts.take(Striped::size(n.u))};
    top = parts.take(kBlock);
    sum = parts.take(kBlock);
    scores = parts.take(kMaxGroups * kGroup + kLanes);
  }
};

HWY_ATTR void scale_row(const Striped& x, int64_t row, float factor) {
  const Tag d;
  const Vec f = hn::Set(d, factor);
  for (int64_t at = row * kStripe; at < Striped::size(x.width); at += Striped::kStride) {
    for (float* p = x.data + at; p < x.data + at + kStripe; p += kLanes) hn::Store(hn::Mul(hn::Load(d, p), f), d, p);
  }
}

// Scores of one row's places to exponentials, zeros where a place is filled up; top and sum take them in. Gives the
// factor for what was summed before.
HWY_ATTR float softmax_row(float* scores, int64_t count, float& top, float& sum) {
  const Tag d;
  const Vec masked = hn::Set(d, kMasked);
  Vec tops = hn::Set(d, top);
  for (int64_t i = 0; i < count; i += kLanes) {
    // In this order a NaN does not become the maximum; it comes through as its own exponential.
    tops = hn::Max(hn::IfThenElse(first_lanes(count - i), hn::LoadU(d, scores + i), masked), tops);
  }
  const float old = top;
  top = hn::GetLane(hn::MaxOfLanes(d, tops));
  const float shrink = hn::GetLane(exp_negative(hn::Set(d, old - top)));
  Vec sums = hn::Zero(d);
  const int64_t places = round_up(count, kGroup);
  for (int64_t i = 0; i < places; i += kLanes) {
    const Vec p =
        hn::IfThenElseZero(first_lanes(count - i), exp_negative(hn::Sub(hn::LoadU(d, scores + i), hn::Set(d, top))));
    hn::BlendedStore(p, first_lanes(places - i), d, scores + i);
    sums = hn::Add(sums, p);
  }
  sum = sum * shrink + hn::GetLane(hn::SumOfLanes(d, sums));
  return shrink;
}

// The queries take in the block of keys.
HWY_ATTR void attend(SelectedBlock& b) {
  pair_dots(b.pairs, b.q, b.k, b.scores);
  for (const Pairs::Row& row : b.pairs.rows) {
    const float shrink = softmax_row(b.scores + row.first, row.count, b.top[row.index], b.sum[row.index]);
    if (shrink != 1) scale_row(b.out, row.index, shrink);
  }
  add_pair_rows(b.pairs, b.scores, b.v, b.out);
}

HWY_ATTR void selected_forward(const SelectedAttention& a, int64_t head, int64_t first) {
  thread_local Scratch scratch;
  thread_local SelectedBlock b;
  const SelectedShape& n = a.shape;
  Parts size(nullptr);
  b.lay_out(n, size);
  Parts parts(scratch.reserve(size.used()));
  b.lay_out(n, parts);

  const int64_t queries = std::min(kBlock, n.s - first);
  load_striped(selected_rows(a.dtype, a.q, n, n.s, head, n.w).from(first), queries, b.q);
  clear(b.out);
  std::fill(b.top, b.top + kBlock, kMasked);
  std::fill(b.sum, b.sum + kBlock, 0.0f);
  b.cursors.fill(0);
  const int32_t* lists = a.keys + (head / n.h * n.s + first) * n.n;
  const HeadRows k = selected_rows(a.dtype, a.k, n, n.t, head, n.w), v = selected_rows(a.dtype, a.v, n, n.t, head, n.u);
  for (int64_t t = 0; t < n.t; t += kBlock) {
    const int64_t keys = std::min(kBlock, n.t - t);
    find_pairs(lists, n.n, queries, t, keys, b.cursors.data(), b.pairs);
    if (b.pairs.groups == 0) continue;
    load_striped(k.from(t), keys, b.k);
    load_striped(v.from(t), keys, b.v);
    attend(b);
  }
  for (int64_t i = 0; i < queries; ++i) {
    scale_row(b.out, i, 1 / b.sum[i]);
    a.lse[head * n.s + first + i] = b.top[i] + std::log(b.sum[i]);
  }
  store_striped(b.out, queries, selected_rows(a.dtype, a.out, n, n.s, head, n.u).from(first));
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(block_size);
HWY_EXPORT(selected_forward);

void selected_attention(const SelectedAttention& a, Parallel& parallel) {
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  const int64_t size = HWY_DYNAMIC_DISPATCH(block_size)(), heads = n.b * n.h, blocks = (n.s + size - 1) / size;
  parallel.run(heads * blocks, [&](int64_t t) {
    // The blocks with the most keys first, so that no long task is left at the end.
    HWY_DYNAMIC_DISPATCH(selected_forward)(a, t % heads, (blocks - 1 - t / heads) * size);
  });
}

}  // namespace fathom::cpu
#endif
