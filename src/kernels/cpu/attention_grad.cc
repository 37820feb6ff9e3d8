// The backward pass of attention: the scores of a block of keys are computed again from the rows' log-sums (Dao,
// "FlashAttention-2", 2023). A task goes over blocks of keys of one head; for each it sums d_k and d_v to the end, and
// adds to the d_q of the whole head, which is its own: tasks share nothing.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_grad.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <cmath>
#include <memory>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/scratch.h"

// A part of one head's blocks of keys: number `part`, `part` + `parts`, ....
#ifndef FATHOM_KERNELS_CPU_ATTENTION_GRAD_PART
#define FATHOM_KERNELS_CPU_ATTENTION_GRAD_PART
namespace fathom::cpu {
struct GradPart {
  int64_t batch, head, part, parts;
  float* d_q;  // [s, w] of this part alone, or null where there is but one part: straight into the result
};
}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Keys of a block. Each block reads all of the head's later queries and adds to their d_q, so fewer and larger ones are
// better, as long as p and d_s of a group (180 KiB together) stay in the second-level cache.
constexpr int64_t kKeys = 360;
static_assert(kKeys % kMr == 0);

// Panels of queries that the products over queries (d_k, d_v) take together, so that their sums stay in registers
// longer.
constexpr int64_t kGroup = std::max<int64_t>(1, 64 / kNr);

// One head. Panels are [width, kNr]; columns are [kNr-wide column group][queries][kNr].
struct HeadGrad {
  AttentionShape n;
  int64_t padded = 0;        // queries, rounded up to kNr
  std::vector<int32_t> ids;  // segments [padded + kMr]; those beyond the last token repeat the last
  float *q_panels = nullptr, *q_columns = nullptr, *o_panels = nullptr, *o_columns = nullptr;  // o: d_out
  float *lse = nullptr, *delta = nullptr;                                                      // [padded]
  float* d_q = nullptr;                                                                        // panels
  // Of the block of keys: strips [width, kMr], keys also as they are [kKeys, w].
  float *k_strips = nullptr, *k_rows = nullptr, *v_strips = nullptr;
  float *d_k = nullptr, *d_v = nullptr;  // [kKeys, width rounded up to kNr]
  // Of a group: p and d_s [kGroup][kKeys][kNr].
  float *p = nullptr, *d_s = nullptr, *spare = nullptr;

  void lay_out(Parts& parts) {
    const int64_t w = round_up(n.w, kNr), u = round_up(n.u, kNr);
    q_panels = parts.take(padded * n.w);
    q_columns = parts.take(padded * w);
    o_panels = parts.take(padded * n.u);
    o_columns = parts.take(padded * u);
    lse = parts.take(padded);
    delta = parts.take(padded);
    d_q = parts.take(padded * n.w);
    k_strips = parts.take(kKeys * n.w);
    k_rows = parts.take(kKeys * n.w);
    v_strips = parts.take(kKeys * n.u);
    d_k = parts.take(kKeys * w);
    d_v = parts.take(kKeys * u);
    p = parts.take(kGroup * kKeys * kNr);
    d_s = parts.take(kGroup * kKeys * kNr);
    spare = parts.take(std::max(kMr, kNr) * std::max(n.w, n.u));
  }
};

// A block of keys.
struct KeyBlock {
  int64_t first, count;
  const int32_t* ids;
  Segments segments;
};

// x [tokens, width] as panels and as columns, zeros beyond.
HWY_ATTR void load_queries(const HeadRows& x, HeadGrad& g, int64_t width, float* panels, float* columns) {
  load_strips(x, g.n.s, width, kNr, panels, g.spare);
  if (g.padded != g.n.s || width % kNr != 0) std::fill(columns, columns + g.padded * round_up(width, kNr), 0.0f);
  for (int64_t c = 0; c < width; c += kNr) {
    load_rows(x.from(0, c), g.n.s, std::min(kNr, width - c), columns + g.padded * c, kNr);
  }
}

HWY_ATTR void load_head(const AttentionGrad& a, int64_t batch, int64_t head, HeadGrad& g) {
  const AttentionShape& n = a.shape;
  const int64_t rows = (batch * n.h + head) * n.s;
  for (int64_t i = 0; i < g.padded + kMr; ++i) {
    g.ids.push_back(a.segments[batch * n.s + std::min(i, n.s - 1)]);
  }
  load_queries(head_rows(a.dtype, a.q, n, batch, head, n.w), g, n.w, g.q_panels, g.q_columns);
  load_queries(head_rows(a.dtype, a.d_out, n, batch, head, n.u), g, n.u, g.o_panels, g.o_columns);
  std::copy(a.lse + rows, a.lse + rows + n.s, g.lse);
  std::fill(g.lse + n.s, g.lse + g.padded, INFINITY);  // p of a query that is not there is 0
  std::copy(a.delta + rows, a.delta + rows + n.s, g.delta);
  std::fill(g.delta + n.s, g.delta + g.padded, 0.0f);
  std::fill(g.d_q, g.d_q + g.padded * n.w, 0.0f);
}

// p: scores to exponentials; d_s: derivatives of p to derivatives of the scores. `keys` rows from key `first`.
template <bool kMaskAny>
HWY_ATTR void score_grads(const HeadGrad& g, int64_t query, int64_t first, int64_t keys, float* p, float* d_s) {
  const Tag d;
  const PanelMask mask{g.ids.data() + query, query};
  for (int64_t half = 0; half < 2; ++half, p += kLanes, d_s += kLanes) {
    const Vec lse = hn::Load(d, g.lse + query + half * kLanes), delta = hn::Load(d, g.delta + query + half * kLanes);
    for (int64_t t = 0; t < keys; ++t) {
      Vec x = exp_negative(hn::Sub(hn::Load(d, p + t * kNr), lse));
      Vec y = hn::Mul(x, hn::Sub(hn::Load(d, d_s + t * kNr), delta));
      if constexpr (kMaskAny) {
        const auto sees = mask.sees(half, first + t, g.ids[static_cast<size_t>(first + t)]);
        x = hn::IfThenElseZero(sees, x);
        y = hn::IfThenElseZero(sees, y);
      }
      hn::Store(x, d, p + t * kNr);
      hn::Store(y, d, d_s + t * kNr);
    }
  }
}

// p and d_s of the panel that begins with `query`, and its d_q += d_s k. Whole strips of keys are computed: what lies
// beyond the last query is masked, what lies beyond the block's keys is not read.
HWY_ATTR void panel_grads(HeadGrad& g, const KeyBlock& keys, int64_t query, float* p, float* d_s) {
  const int64_t count = std::min(keys.count, query + kNr - keys.first), whole = round_up(count, kMr);
  panel_scores(g.k_strips, g.q_panels + query * g.n.w, count, g.n.w, p);
  panel_scores(g.v_strips, g.o_panels + query * g.n.u, count, g.n.u, d_s);
  const Segments queries = segments_of(g.ids.data() + query, kNr);
  if (keys.first + whole - 1 > query || !queries.same(keys.segments)) {
    score_grads<true>(g, query, keys.first, whole, p, d_s);
  } else {
    score_grads<false>(g, query, keys.first, whole, p, d_s);
  }
  float* d_q = g.d_q + query * g.n.w;
  for (int64_t i = 0; i < g.n.w; i += kMr) {
    micro_rows<kMr>(
        std::min(kMr, g.n.w - i),
        {.depth = count, .a = g.k_rows + i, .a_step = g.n.w, .b = d_s, .c = d_q + i * kNr, .c_row = kNr, .add = true});
  }
}

// sums [keys, width] += x^T columns over the queries of a group: x [panel][kKeys][kNr] is p or d_s.
HWY_ATTR void add_over_queries(const HeadGrad& g, const KeyBlock& keys, int64_t query, const float* x,
                               const float* columns, int64_t width, float* sums) {
  const int64_t panels = std::min(kGroup, (g.padded - query) / kNr), sums_row = round_up(width, kNr);
  for (int64_t c = 0; c < width; c += kNr) {
    for (int64_t t = 0; t < keys.count; t += kMr) {
      // The first panels may lie before the strip's keys.
      const int64_t skip = std::max<int64_t>(0, keys.first + t - query) / kNr;
      if (skip >= panels) break;
      micro<kMr, kNr>({.pieces = panels - skip,
                       .depth = kNr,
                       .a = x + (skip * kKeys + t) * kNr,
                       .a_step = 1,
                       .a_piece = kKeys * kNr,
                       .b = columns + c * g.padded + (query + skip * kNr) * kNr,
                       .c = sums + t * sums_row + c,
                       .c_row = sums_row,
                       .add = true});
    }
  }
}

HWY_ATTR void block_grads(HeadGrad& g, const KeyBlock& keys) {
  std::fill(g.d_k, g.d_k + kKeys * round_up(g.n.w, kNr), 0.0f);
  std::fill(g.d_v, g.d_v + kKeys * round_up(g.n.u, kNr), 0.0f);
  // Queries before the block's first key do not see it.
  for (int64_t query = keys.first / kNr * kNr; query < g.padded; query += kGroup * kNr) {
    const int64_t panels = std::min(kGroup, (g.padded - query) / kNr);
    if (!segments_of(g.ids.data() + query, panels * kNr).meet(keys.segments)) continue;
    for (int64_t i = 0; i < panels; ++i) {
      panel_grads(g, keys, query + i * kNr, g.p + i * kKeys * kNr, g.d_s + i * kKeys * kNr);
    }
    add_over_queries(g, keys, query, g.p, g.o_columns, g.n.u, g.d_v);
    add_over_queries(g, keys, query, g.d_s, g.q_columns, g.n.w, g.d_k);
  }
}

HWY_ATTR void grad_part(const AttentionGrad& a, const GradPart& part) {
  thread_local Scratch scratch;
  const AttentionShape& n = a.shape;
  HeadGrad g{.n = n, .padded = round_up(n.s, kNr), .ids = {}};
  Parts size(nullptr);
  g.lay_out(size);
  Parts parts(scratch.reserve(size.used()));
  g.lay_out(parts);

  load_head(a, part.batch, part.head, g);
  const HeadRows k = head_rows(a.dtype, a.k, n, part.batch, part.head, n.w);
  const HeadRows v = head_rows(a.dtype, a.v, n, part.batch, part.head, n.u);
  const HeadRows d_k = head_rows(a.dtype, a.d_k, n, part.batch, part.head, n.w);
  const HeadRows d_v = head_rows(a.dtype, a.d_v, n, part.batch, part.head, n.u);
  for (int64_t t = part.part * kKeys; t < n.s; t += part.parts * kKeys) {
    KeyBlock keys{.first = t, .count = std::min(kKeys, n.s - t), .ids = g.ids.data() + t, .segments = {}};
    keys.segments = segments_of(keys.ids, keys.count);
    load_strips(k.from(t), keys.count, n.w, kMr, g.k_strips, g.spare);
    load_rows(k.from(t), keys.count, n.w, g.k_rows, n.w);
    load_strips(v.from(t), keys.count, n.u, kMr, g.v_strips, g.spare);
    block_grads(g, keys);
    store_rows(g.d_k, round_up(n.w, kNr), keys.count, n.w, d_k.from(t));
    store_rows(g.d_v, round_up(n.u, kNr), keys.count, n.u, d_v.from(t));
  }
  const HeadRows d_q = part.d_q != nullptr ? HeadRows{DType::kF32, part.d_q, n.w}
                                           : head_rows(a.dtype, a.d_q, n, part.batch, part.head, n.w);
  for (int64_t i = 0; i < n.s; i += kNr) {
    store_panel(g.d_q + i * n.w, std::min(kNr, n.s - i), n.w, d_q.from(i), g.spare);
  }
}

// d_q of one head from its parts, each [s, w]. The first part is overwritten.
HWY_ATTR void add_parts(const AttentionGrad& a, int64_t head, int64_t count, float* parts) {
  const AttentionShape& n = a.shape;
  const int64_t size = n.s * n.w;
  for (int64_t i = 1; i < count; ++i) {
    const float* HWY_RESTRICT from = parts + i * size;
    for (int64_t j = 0; j < size; ++j) parts[j] += from[j];
  }
  store_rows(parts, n.w, n.s, n.w, head_rows(a.dtype, a.d_q, n, head / n.h, head % n.h, n.w));
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(grad_part);
HWY_EXPORT(add_parts);

namespace {

// Where there are fewer heads than this, a head's blocks of keys are shared out, at the price of a float32 d_q for each
// part. A constant and not the number of threads: sums must not depend on that.
constexpr int64_t kTasks = 32;

}  // namespace

void attention_grad(const AttentionGrad& a, Parallel& parallel) {
  const AttentionShape& n = a.shape;
  const int64_t heads = n.b * n.h;
  if (heads == 0 || n.s == 0) return;
  const int64_t blocks = (n.s + HWY_NAMESPACE::kKeys - 1) / HWY_NAMESPACE::kKeys;
  const int64_t parts = std::min((kTasks + heads - 1) / heads, blocks);
  std::unique_ptr<float[]> sums;
  if (parts > 1) sums = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(heads * parts * n.s * n.w));
  parallel.run(heads * parts, [&](int64_t t) {
    const int64_t head = t / parts;
    HWY_DYNAMIC_DISPATCH(grad_part)
    (a, {.batch = head / n.h,
         .head = head % n.h,
         .part = t % parts,
         .parts = parts,
         .d_q = sums == nullptr ? nullptr : sums.get() + t * n.s * n.w});
  });
  if (sums == nullptr) return;
  parallel.run(heads, [&](int64_t head) {
    HWY_DYNAMIC_DISPATCH(add_parts)(a, head, parts, sums.get() + head * parts * n.s * n.w);
  });
}

}  // namespace fathom::cpu
#endif
