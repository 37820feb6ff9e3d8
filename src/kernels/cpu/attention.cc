// The forward pass of attention: a chunk of queries of one head against the keys before its end, block by block, with
// an online softmax (Dao, "FlashAttention-2", 2023).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <cmath>

#include "kernels/attention.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/scratch.h"

// Queries of a task: enough that packing a key costs little beside its products, few enough that long rows make tasks
// for many cores and that queries and sums (160 KiB at widths 96 and 64) stay in the second-level cache.
#ifndef FATHOM_KERNELS_CPU_ATTENTION_CHUNK
#define FATHOM_KERNELS_CPU_ATTENTION_CHUNK
namespace fathom::cpu {
constexpr int64_t kChunk = 256;
}
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Keys of a block: the scores of a panel (15 KiB with AVX-512) stay in the first-level cache.
constexpr int64_t kKeys = 120;
static_assert(kKeys % kMr == 0);

// The queries of a task, in panels of kNr, with what they have summed up so far; and the block of keys at hand.
struct Chunk {
  AttentionShape n;
  int64_t first = 0, queries = 0;
  int32_t ids[kChunk];  // segments; those beyond the last query repeat the last
  // Per panel: q [w, kNr], out [u, kNr] not yet divided by sum [kNr], top [kNr] the largest score.
  float *q = nullptr, *out = nullptr, *top = nullptr, *sum = nullptr;
  // Of the block: keys in strips [w, kMr], values [kKeys, u]. Of a panel: scores [kKeys, kNr].
  float *keys = nullptr, *values = nullptr, *scores = nullptr, *spare = nullptr;

  void lay_out(Parts& parts) {
    const int64_t padded = round_up(queries, kNr);
    q = parts.take(padded * n.w);
    out = parts.take(padded * n.u);
    top = parts.take(padded);
    sum = parts.take(padded);
    keys = parts.take(kKeys * n.w);
    values = parts.take(kKeys * n.u);
    scores = parts.take(kKeys * kNr);
    spare = parts.take(std::max(kMr, kNr) * std::max(n.w, n.u));
  }
};

HWY_ATTR void load_chunk(const HeadRows& q, const int32_t* segments, Chunk& c) {
  const int64_t padded = round_up(c.queries, kNr);
  for (int64_t i = 0; i < kChunk; ++i) c.ids[i] = segments[c.first + std::min(i, c.queries - 1)];
  load_strips(q.from(c.first), c.queries, c.n.w, kNr, c.q, c.spare);
  std::fill(c.out, c.out + padded * c.n.u, 0.0f);
  std::fill(c.top, c.top + padded, kMasked);
  std::fill(c.sum, c.sum + padded, 0.0f);
}

// Scores to exponentials; the panel's maximum and sum take them in. Gives the factors for what was summed before.
HWY_ATTR void softmax_step(int64_t keys, float* scores, float* top, float* sum, float* shrink) {
  const Tag d;
  const Vec old0 = hn::Load(d, top), old1 = hn::Load(d, top + kLanes);
  Vec top0 = old0, top1 = old1;
  for (int64_t t = 0; t < keys; ++t) {
    // In this order a NaN does not become the maximum; it comes through as its own exponential.
    top0 = hn::Max(hn::Load(d, scores + t * kNr), top0);
    top1 = hn::Max(hn::Load(d, scores + t * kNr + kLanes), top1);
  }
  const Vec shrink0 = exp_negative(hn::Sub(old0, top0)), shrink1 = exp_negative(hn::Sub(old1, top1));
  Vec sum0 = hn::Mul(hn::Load(d, sum), shrink0), sum1 = hn::Mul(hn::Load(d, sum + kLanes), shrink1);
  for (int64_t t = 0; t < keys; ++t) {
    const Vec p0 = exp_negative(hn::Sub(hn::Load(d, scores + t * kNr), top0));
    const Vec p1 = exp_negative(hn::Sub(hn::Load(d, scores + t * kNr + kLanes), top1));
    hn::Store(p0, d, scores + t * kNr);
    hn::Store(p1, d, scores + t * kNr + kLanes);
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
  }
  hn::Store(top0, d, top);
  hn::Store(top1, d, top + kLanes);
  hn::Store(sum0, d, sum);
  hn::Store(sum1, d, sum + kLanes);
  hn::Store(shrink0, d, shrink);
  hn::Store(shrink1, d, shrink + kLanes);
}

HWY_ATTR void mask_scores(const PanelMask& mask, int64_t first_key, const int32_t* key_ids, int64_t keys,
                          float* scores) {
  const Tag d;
  const Vec masked = hn::Set(d, kMasked);
  for (int64_t t = 0; t < keys; ++t) {
    for (int64_t half = 0; half < 2; ++half) {
      float* at = scores + t * kNr + half * kLanes;
      hn::Store(hn::IfThenElse(mask.sees(half, first_key + t, key_ids[t]), hn::Load(d, at), masked), d, at);
    }
  }
}

// Panel `p` takes in the first `keys` keys of the block that begins with key `first_key`.
HWY_ATTR void attend(Chunk& c, int64_t p, int64_t first_key, const int32_t* key_ids, int64_t keys) {
  const Segments panel = segments_of(c.ids + p * kNr, kNr), block = segments_of(key_ids, keys);
  if (!panel.meet(block)) return;
  const int64_t query = c.first + p * kNr;
  panel_scores(c.keys, c.q + p * kNr * c.n.w, keys, c.n.w, c.scores);
  if (first_key + keys - 1 > query || !panel.same(block)) {
    mask_scores({c.ids + p * kNr, query}, first_key, key_ids, keys, c.scores);
  }
  HWY_ALIGN float shrink[kNr];
  softmax_step(keys, c.scores, c.top + p * kNr, c.sum + p * kNr, shrink);
  float* out = c.out + p * kNr * c.n.u;
  for (int64_t i = 0; i < c.n.u; i += kMr) {
    micro_rows<kMr>(std::min(kMr, c.n.u - i), {.depth = keys,
                                               .a = c.values + i,
                                               .a_step = c.n.u,
                                               .b = c.scores,
                                               .c = out + i * kNr,
                                               .c_row = kNr,
                                               .scale = shrink});
  }
}

HWY_ATTR void finish(Chunk& c, const HeadRows& out, float* lse) {
  const Tag d;
  for (int64_t p = 0; p * kNr < c.queries; ++p) {
    const int64_t rows = std::min(kNr, c.queries - p * kNr);
    float* panel = c.out + p * kNr * c.n.u;
    const float *sum = c.sum + p * kNr, *top = c.top + p * kNr;
    const Vec part0 = hn::Div(hn::Set(d, 1.0f), hn::Load(d, sum));
    const Vec part1 = hn::Div(hn::Set(d, 1.0f), hn::Load(d, sum + kLanes));
    for (int64_t i = 0; i < c.n.u; ++i) {
      float* at = panel + i * kNr;
      hn::Store(hn::Mul(hn::Load(d, at), part0), d, at);
      hn::Store(hn::Mul(hn::Load(d, at + kLanes), part1), d, at + kLanes);
    }
    store_panel(panel, rows, c.n.u, out.from(c.first + p * kNr), c.spare);
    for (int64_t i = 0; i < rows; ++i) lse[c.first + p * kNr + i] = top[i] + std::log(sum[i]);
  }
}

HWY_ATTR void forward_chunk(const Attention& a, int64_t batch, int64_t head, int64_t first) {
  thread_local Scratch scratch;
  Chunk c{.n = a.shape, .first = first, .queries = std::min(kChunk, a.shape.s - first)};
  Parts size(nullptr);
  c.lay_out(size);
  Parts parts(scratch.reserve(size.used()));
  c.lay_out(parts);

  const AttentionShape& n = a.shape;
  const int32_t* segments = a.segments + batch * n.s;
  const HeadRows k = head_rows(a.dtype, a.k, n, batch, head, n.w), v = head_rows(a.dtype, a.v, n, batch, head, n.u);
  load_chunk(head_rows(a.dtype, a.q, n, batch, head, n.w), segments, c);
  const Segments queries = segments_of(c.ids, kChunk);
  const int64_t end = first + c.queries;
  for (int64_t t = 0; t < end; t += kKeys) {
    const int64_t keys = std::min(kKeys, end - t);
    if (!queries.meet(segments_of(segments + t, keys))) continue;
    load_strips(k.from(t), keys, n.w, kMr, c.keys, c.spare);
    load_rows(v.from(t), keys, n.u, c.values, n.u);
    for (int64_t p = 0; p * kNr < c.queries; ++p) {
      // Keys after the panel's last query are never looked at.
      const int64_t last = std::min(first + (p + 1) * kNr, end);
      if (last > t) attend(c, p, t, segments + t, std::min(keys, last - t));
    }
  }
  finish(c, head_rows(a.dtype, a.out, n, batch, head, n.u), a.lse + (batch * n.h + head) * n.s);
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(forward_chunk);

void attention(const Attention& a, Parallel& parallel) {
  const int64_t heads = a.shape.b * a.shape.h, chunks = (a.shape.s + kChunk - 1) / kChunk;
  parallel.run(heads * chunks, [&](int64_t t) {
    // The chunks with the most keys first, so that no long task is left at the end.
    const int64_t chunk = chunks - 1 - t / heads, head = t % heads;
    HWY_DYNAMIC_DISPATCH(forward_chunk)(a, head / a.shape.h, head % a.shape.h, chunk * kChunk);
  });
}

}  // namespace fathom::cpu
#endif
