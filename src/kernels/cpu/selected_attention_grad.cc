// The backward pass of attention over lists of keys. A task goes over blocks of keys of one head; for each it sums d_k
// and d_v to the end, and adds to the d_q of the whole head, which is its own: tasks share nothing.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selected_attention_grad.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <memory>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/selected-inl.h"
#include "kernels/selected_attention.h"
#include "kernels/selection.h"

// A part of one head's blocks of keys: number `part`, `part` + `parts`, ....
#ifndef FATHOM_KERNELS_CPU_SELECTED_GRAD_PART
#define FATHOM_KERNELS_CPU_SELECTED_GRAD_PART
namespace fathom::cpu {
struct SelectedGradPart {
  int64_t head, part, parts;
  float* d_q;  // [s, w] of this part alone, or null where there is but one part: straight into the result
};
}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// One head, and the block of keys at hand.
struct SelectedHead {
  int64_t blocks = 0;                                  // of queries
  Striped q, d_out, d_q;                               // [blocks]
  Striped k, v, d_k, d_v;                              // of the block of keys
  float *p = nullptr, *d_s = nullptr;                  // of the pairs, and a zero behind all places
  float *p_columns = nullptr, *d_s_columns = nullptr;  // the same, by columns

  void lay_out(const SelectedShape& n, Parts& parts) {
    q = {n.w, parts.take(blocks * Striped::size(n.w))};
    d_out = {n.u, parts.take(blocks * Striped::size(n.u))};
    d_q = {n.w, parts.take(blocks * Striped::size(n.w))};
    k = {n.w, parts.take(Striped::size(n.w))};
    v = {n.u, parts.take(Striped::size(n.u))};
    d_k = {n.w, parts.take(Striped::size(n.w))};
    d_v = {n.u, parts.take(Striped::size(n.u))};
    for (float** values : {&p, &d_s, &p_columns, &d_s_columns}) *values = parts.take(kMaxPlaces + 1 + kLanes);
  }
};

// p: scores of one row to exponentials; d_s: derivatives of p to derivatives of the scores. Zeros where a place is
// filled up.
HWY_ATTR void row_grads(const PairRow& row, float lse, float delta, float* p, float* d_s) {
  const Tag d;
  const int64_t places = round_up(row.count, kGroup);
  p += row.first;
  d_s += row.first;
  for (int64_t i = 0; i < places; i += kLanes) {
    const auto there = first_lanes(row.count - i);
    const auto own = first_lanes(places - i);
    const Vec x = exp_negative(hn::Sub(hn::LoadU(d, p + i), hn::Set(d, lse)));
    const Vec y = hn::Mul(x, hn::Sub(hn::LoadU(d, d_s + i), hn::Set(d, delta)));
    hn::BlendedStore(hn::IfThenElseZero(there, x), own, d, p + i);
    hn::BlendedStore(hn::IfThenElseZero(there, y), own, d, d_s + i);
  }
}

// The pairs of a block of queries with the block of keys: d_q, d_k and d_v take them in. lse and delta: the block's.
HWY_ATTR void block_grads(SelectedHead& h, const QueryBlockPairs& block, int64_t query_block, int64_t key_block,
                          const float* lse, const float* delta) {
  const Pairs pairs = block.by_query.block(key_block), columns = block.by_key.block(key_block);
  const Striped q = h.q.block(query_block), d_out = h.d_out.block(query_block);
  pair_dots(pairs, q, h.k, h.p);
  pair_dots(pairs, d_out, h.v, h.d_s);
  for (const PairRow& row : pairs.rows) row_grads(row, lse[row.index], delta[row.index], h.p, h.d_s);
  add_pair_rows(pairs, h.d_s, h.k, h.d_q.block(query_block));
  h.p[kMaxPlaces] = h.d_s[kMaxPlaces] = 0;
  const std::vector<uint16_t>& from = block.from[static_cast<size_t>(key_block)];
  for (size_t i = 0; i < from.size(); ++i) {
    h.p_columns[i] = h.p[from[i]];
    h.d_s_columns[i] = h.d_s[from[i]];
  }
  add_pair_rows(columns, h.d_s_columns, q, h.d_k);
  add_pair_rows(columns, h.p_columns, d_out, h.d_v);
}

HWY_ATTR void load_head(const SelectedAttentionGrad& a, int64_t head, SelectedHead& h) {
  const SelectedShape& n = a.shape;
  const HeadRows q = selected_rows(a.dtype, a.q, n, n.s, head, n.w);
  const HeadRows d_out = selected_rows(a.dtype, a.d_out, n, n.s, head, n.u);
  for (int64_t i = 0; i < h.blocks; ++i) {
    const int64_t first = i * kBlock, queries = std::min(kBlock, n.s - first);
    load_striped(q.from(first), queries, h.q.block(i));
    load_striped(d_out.from(first), queries, h.d_out.block(i));
  }
  clear(h.d_q, h.blocks);
}

HWY_ATTR void selected_grad_part(const SelectedAttentionGrad& a, const PairTable& table, const SelectedGradPart& part) {
  thread_local Scratch scratch;
  const SelectedShape& n = a.shape;
  const int64_t head = part.head;
  SelectedHead h{.blocks = table.query_blocks};
  Parts size(nullptr);
  h.lay_out(n, size);
  Parts parts(scratch.reserve(size.used()));
  h.lay_out(n, parts);

  load_head(a, head, h);
  const QueryBlockPairs* blocks = table.pairs.data() + head / n.h * table.query_blocks;
  const HeadRows k = selected_rows(a.dtype, a.k, n, n.t, head, n.w), v = selected_rows(a.dtype, a.v, n, n.t, head, n.u);
  const HeadRows d_k = selected_rows(a.dtype, a.d_k, n, n.t, head, n.w);
  const HeadRows d_v = selected_rows(a.dtype, a.d_v, n, n.t, head, n.u);
  for (int64_t t = part.part; t < table.key_blocks; t += part.parts) {
    const int64_t first = t * kBlock, keys = std::min(kBlock, n.t - first);
    load_striped(k.from(first), keys, h.k);
    load_striped(v.from(first), keys, h.v);
    clear(h.d_k);
    clear(h.d_v);
    for (int64_t i = 0; i < h.blocks; ++i) {
      const int64_t row = head * n.s + i * kBlock;
      if (!blocks[i].from[static_cast<size_t>(t)].empty()) block_grads(h, blocks[i], i, t, a.lse + row, a.delta + row);
    }
    store_striped(h.d_k, keys, d_k.from(first));
    store_striped(h.d_v, keys, d_v.from(first));
  }
  const HeadRows d_q =
      part.d_q != nullptr ? HeadRows{DType::kF32, part.d_q, n.w} : selected_rows(a.dtype, a.d_q, n, n.s, head, n.w);
  for (int64_t i = 0; i < h.blocks; ++i) {
    store_striped(h.d_q.block(i), std::min(kBlock, n.s - i * kBlock), d_q.from(i * kBlock));
  }
}

// d_q of one head from its parts, each [s, w]. The first part is overwritten.
HWY_ATTR void add_selected_parts(const SelectedAttentionGrad& a, int64_t head, int64_t count, float* parts) {
  const SelectedShape& n = a.shape;
  const int64_t size = n.s * n.w;
  for (int64_t i = 1; i < count; ++i) {
    const float* HWY_RESTRICT from = parts + i * size;
    for (int64_t j = 0; j < size; ++j) parts[j] += from[j];
  }
  store_rows(parts, n.w, n.s, n.w, selected_rows(a.dtype, a.d_q, n, n.s, head, n.w));
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(selected_grad_part);
HWY_EXPORT(add_selected_parts);

namespace {

// Where there are fewer heads than this, a head's blocks of keys are shared out, at the price of a float32 d_q for each
// part. A constant and not the number of threads: sums must not depend on that.
constexpr int64_t kTasks = 32;

}  // namespace

void selected_attention_grad(const SelectedAttentionGrad& a, Parallel& parallel) {
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  const int64_t heads = n.b * n.h;
  if (heads == 0 || n.t == 0) return;
  const PairTable table = pair_table(n, a.keys, PairOrder::kBoth, parallel);
  const int64_t parts = std::min((kTasks + heads - 1) / heads, table.key_blocks);
  std::unique_ptr<float[]> sums;
  if (parts > 1) sums = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(heads * parts * n.s * n.w));
  parallel.run(heads * parts, [&](int64_t t) {
    HWY_DYNAMIC_DISPATCH(selected_grad_part)
    (a, table,
     {.head = t / parts,
      .part = t % parts,
      .parts = parts,
      .d_q = sums == nullptr ? nullptr : sums.get() + t * n.s * n.w});
  });
  if (sums == nullptr) return;
  parallel.run(heads, [&](int64_t head) {
    HWY_DYNAMIC_DISPATCH(add_selected_parts)(a, head, parts, sums.get() + head * parts * n.s * n.w);
  });
}

}  // namespace fathom::cpu
#endif
