// The forward pass of attention over lists of keys: a block of queries of one head against blocks of keys, with an
// online softmax.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selected_attention.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <cmath>
#include <utility>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/selected-inl.h"
#include "kernels/selected_attention.h"
#include "kernels/selection.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// The queries of a task with what they have summed up so far, and the block of keys at hand.
struct SelectedQueries {
  int64_t blocks = 0;
  Striped q, out;  // [blocks]; out is not yet divided by sum
  Striped k, v;
  float *top = nullptr, *sum = nullptr;  // [blocks, kBlock]
  float* scores = nullptr;               // of the pairs of two blocks

  void lay_out(const SelectedShape& n, Parts& parts) {
    q = {n.w, parts.take(blocks * Striped::size(n.w))};
    out = {n.u, parts.take(blocks * Striped::size(n.u))};
    k = {n.w, parts.take(Striped::size(n.w))};
    v = {n.u, parts.take(Striped::size(n.u))};
    top = parts.take(blocks * kBlock);
    sum = parts.take(blocks * kBlock);
    scores = parts.take(kMaxPlaces + kLanes);
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
  const float shrink = top == old ? 1 : hn::GetLane(exp_negative(hn::Set(d, old - top)));
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

// A block of queries takes in the block of keys.
HWY_ATTR void attend(SelectedQueries& x, int64_t block, const Pairs& pairs) {
  const Striped out = x.out.block(block);
  float *top = x.top + block * kBlock, *sum = x.sum + block * kBlock;
  pair_dots(pairs, x.q.block(block), x.k, x.scores);
  for (const PairRow& row : pairs.rows) {
    const float shrink = softmax_row(x.scores + row.first, row.count, top[row.index], sum[row.index]);
    if (shrink != 1) scale_row(out, row.index, shrink);
  }
  add_pair_rows(pairs, x.scores, x.v, out);
}

HWY_ATTR void finish(const SelectedQueries& x, int64_t block, int64_t queries, const HeadRows& to, float* lse) {
  const Striped out = x.out.block(block);
  const float *top = x.top + block * kBlock, *sum = x.sum + block * kBlock;
  for (int64_t i = 0; i < queries; ++i) {
    scale_row(out, i, 1 / sum[i]);
    lse[i] = top[i] + std::log(sum[i]);
  }
  store_striped(out, queries, to);
}

// `count` blocks of queries of one head (of b * h), which take in blocks of keys that are copied once for all of them.
HWY_ATTR void selected_forward(const SelectedAttention& a, const PairTable& table, int64_t head, int64_t first,
                               int64_t count) {
  thread_local Scratch scratch;
  const SelectedShape& n = a.shape;
  SelectedQueries x{.blocks = count};
  Parts size(nullptr);
  x.lay_out(n, size);
  Parts parts(scratch.reserve(size.used()));
  x.lay_out(n, parts);

  const HeadRows q = selected_rows(a.dtype, a.q, n, n.s, head, n.w),
                 out = selected_rows(a.dtype, a.out, n, n.s, head, n.u);
  const HeadRows k = selected_rows(a.dtype, a.k, n, n.t, head, n.w), v = selected_rows(a.dtype, a.v, n, n.t, head, n.u);
  const QueryBlockPairs* blocks = table.pairs.data() + head / n.h * table.query_blocks + first;
  auto queries = [&](int64_t i) { return std::min(kBlock, n.s - (first + i) * kBlock); };
  for (int64_t i = 0; i < x.blocks; ++i) load_striped(q.from((first + i) * kBlock), queries(i), x.q.block(i));
  clear(x.out, x.blocks);
  std::fill(x.top, x.top + x.blocks * kBlock, kMasked);
  std::fill(x.sum, x.sum + x.blocks * kBlock, 0.0f);
  for (int64_t t = 0; t < table.key_blocks; ++t) {
    bool loaded = false;
    for (int64_t i = 0; i < x.blocks; ++i) {
      const Pairs pairs = blocks[i].by_query.block(t);
      if (pairs.places == 0) continue;
      if (!std::exchange(loaded, true)) {
        const int64_t keys = std::min(kBlock, n.t - t * kBlock);
        load_striped(k.from(t * kBlock), keys, x.k);
        load_striped(v.from(t * kBlock), keys, x.v);
      }
      attend(x, i, pairs);
    }
  }
  for (int64_t i = 0; i < x.blocks; ++i) {
    const int64_t token = (first + i) * kBlock;
    finish(x, i, queries(i), out.from(token), a.lse + head * n.s + token);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(selected_forward);

namespace {

// Blocks of queries of a task, as many as leave tasks for many cores. Results do not depend on it.
int64_t blocks_of_task(int64_t blocks) { return std::clamp<int64_t>(blocks / 64, 1, 8); }

}  // namespace

void selected_attention(const SelectedAttention& a, Parallel& parallel) {
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  const PairTable table = pair_table(n, a.keys, PairOrder::kByQuery, parallel);
  const int64_t heads = n.b * n.h, step = blocks_of_task(heads * table.query_blocks);
  const int64_t tasks = (table.query_blocks + step - 1) / step;
  parallel.run(heads * tasks, [&](int64_t t) {
    // Head after head, whose keys stay in the shared cache; of each the blocks with the most keys first, so that no
    // long task is left at the end.
    const int64_t first = (tasks - 1 - t % tasks) * step;
    HWY_DYNAMIC_DISPATCH(selected_forward)(a, table, t / tasks, first, std::min(step, table.query_blocks - first));
  });
}

}  // namespace fathom::cpu
#endif
