// The scores of a panel of queries against all keys that they see, head after head, and each query's choice from them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/indexer.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/scratch.h"
#include "kernels/indexer.h"
#include "kernels/selection.h"

#ifndef FATHOM_KERNELS_CPU_INDEXER_PANEL
#define FATHOM_KERNELS_CPU_INDEXER_PANEL
namespace fathom::cpu {
// Queries `first` to `first` + `count` of a row, at most a panel.
struct QueryPanel {
  int64_t batch = 0, first = 0, count = 0;
};
}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Keys of a block: their scores (15 KiB with AVX-512) and one head's panel of queries stay in the first-level cache.
constexpr int64_t kKeys = 120;
static_assert(kKeys % kMr == 0);

int64_t panel_size() { return kNr; }

// One panel of queries, a query in each lane of two vectors.
struct IndexerPanel {
  float* queries = nullptr;  // [g][i, kNr]
  float* weights = nullptr;  // [g, kNr]
  float* keys = nullptr;     // strips [i, kMr] of a block
  float* scores = nullptr;   // [kKeys, kNr]
  float* spare = nullptr;

  void lay_out(const IndexerShape& n, Parts& parts) {
    queries = parts.take(n.g * n.i * kNr);
    weights = parts.take(n.g * kNr);
    keys = parts.take(kKeys * n.i);
    scores = parts.take(kKeys * kNr);
    spare = parts.take(std::max(kMr, kNr) * n.i);
  }
};

HWY_ATTR void load_panel(const Indexer& x, const QueryPanel& panel, IndexerPanel& p) {
  const IndexerShape& n = x.shape;
  const int64_t row = panel.batch * n.s + panel.first;
  const HeadRows q = HeadRows{x.dtype, x.q, n.g * n.i}.from(row);
  for (int64_t head = 0; head < n.g; ++head) {
    load_strips(q.from(0, head * n.i), panel.count, n.i, kNr, p.queries + head * n.i * kNr, p.spare);
  }
  std::fill(p.weights, p.weights + n.g * kNr, 0.0f);
  transpose(x.weights + row * n.g, n.g, panel.count, n.g, p.weights, kNr);
}

// scores [kMr, kNr] += weights * max(products, 0), where a NaN stays one.
HWY_ATTR void add_head(const float* products, const float* weights, float* scores) {
  const Tag d;
  const Vec w[2] = {hn::Load(d, weights), hn::Load(d, weights + kLanes)};
  for (int64_t t = 0; t < kMr; ++t) {
    for (int64_t half = 0; half < 2; ++half) {
      const Vec x = hn::Load(d, products + t * kNr + half * kLanes);
      float* at = scores + t * kNr + half * kLanes;
      hn::Store(hn::MulAdd(w[half], hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x), hn::Load(d, at)), d, at);
    }
  }
}

// The scores of the block's keys.
HWY_ATTR void block_scores(const IndexerShape& n, int64_t keys, IndexerPanel& p) {
  const Tag d;
  const int64_t whole = round_up(keys, kMr);
  std::fill(p.scores, p.scores + whole * kNr, 0.0f);
  HWY_ALIGN float products[kMr * kNr];
  for (int64_t head = 0; head < n.g; ++head) {
    for (int64_t t = 0; t < whole; t += kMr) {
      micro<kMr, 1>({.depth = n.i,
                     .a = p.keys + t * n.i,
                     .a_step = kMr,
                     .b = p.queries + head * n.i * kNr,
                     .c = products,
                     .c_row = kNr});
      add_head(products, p.weights + head * kNr, p.scores + t * kNr);
    }
  }
  const Vec lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (float* at = p.scores; at < p.scores + keys * kNr; at += kLanes) {
    const Vec x = hn::Load(d, at);
    hn::Store(hn::IfThenElse(hn::IsNaN(x), lowest, x), d, at);
  }
}

// rows [queries, t], t floats apart: the scores of the keys that may be seen. The other places are left as they are.
HWY_ATTR void panel_rows(const Indexer& x, const QueryPanel& panel, float* rows) {
  thread_local Scratch scratch;
  const IndexerShape& n = x.shape;
  IndexerPanel p;
  Parts size(nullptr);
  p.lay_out(n, size);
  Parts parts(scratch.reserve(size.used()));
  p.lay_out(n, parts);

  load_panel(x, panel, p);
  const int32_t* segments = x.segments + panel.batch * n.t;
  const int64_t place = x.first + panel.first, end = place + panel.count;
  const Segments queries = segments_of(segments + place, panel.count);
  const HeadRows k = HeadRows{x.dtype, x.k, n.i}.from(panel.batch * n.t);
  for (int64_t t = 0; t < end; t += kKeys) {
    const int64_t keys = std::min(kKeys, end - t);
    if (!queries.meet(segments_of(segments + t, keys))) continue;
    load_strips(k.from(t), keys, n.i, kMr, p.keys, p.spare);
    block_scores(n, keys, p);
    transpose(p.scores, kNr, keys, panel.count, rows + t, n.t);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {
namespace {

HWY_EXPORT(panel_size);
HWY_EXPORT(panel_rows);

using Keys = std::vector<int32_t>;

// Calls f(row, keys that the query sees, its scores [t]) for each query, with scores where needs(row, how many it sees)
// says so; else they are null.
template <typename Needs, typename F>
void for_each_query(const Indexer& x, Parallel& parallel, const Needs& needs, const F& f) {
  check_places(x);
  const IndexerShape& n = x.shape;
  const int64_t size = HWY_DYNAMIC_DISPATCH(panel_size)(), panels = (n.s + size - 1) / size;
  parallel.run(n.b * panels, [&](int64_t task) {
    thread_local Scratch scratch;
    thread_local std::vector<Keys> seen;
    // The panels with the most keys first, so that no long task is left at the end.
    QueryPanel panel{.batch = task % n.b, .first = (panels - 1 - task / n.b) * size};
    panel.count = std::min(size, n.s - panel.first);
    const int64_t row = panel.batch * n.s + panel.first;
    seen.resize(static_cast<size_t>(size));
    float* scores = nullptr;
    for (int64_t i = 0; i < panel.count; ++i) {
      Keys& keys = seen[static_cast<size_t>(i)];
      keys_seen(x.segments + panel.batch * n.t, x.first + panel.first + i, keys);
      if (scores == nullptr && needs(row + i, static_cast<int64_t>(keys.size()))) {
        scores = scratch.reserve(panel.count * n.t);
      }
    }
    if (scores != nullptr) HWY_DYNAMIC_DISPATCH(panel_rows)(x, panel, scores);
    for (int64_t i = 0; i < panel.count; ++i) {
      const Keys& keys = seen[static_cast<size_t>(i)];
      const bool needed = needs(row + i, static_cast<int64_t>(keys.size()));
      f(row + i, keys, needed ? scores + i * n.t : nullptr);
    }
  });
}

// As many as there are places for; -1 behind them.
void keep_all(const Keys& seen, int64_t n, int32_t* keys) {
  const int64_t count = std::min(n, static_cast<int64_t>(seen.size()));
  std::fill(std::copy_n(seen.begin(), count, keys), keys + n, -1);
}

}  // namespace

void indexer_selection(const IndexerSelection& a, Parallel& parallel) {
  const int64_t t = a.indexer.shape.t, n = std::min(a.top_k, t);
  auto needs = [&](int64_t, int64_t seen) { return seen > a.top_k; };
  for_each_query(a.indexer, parallel, needs, [&](int64_t row, const Keys& seen, const float* scores) {
    thread_local std::vector<float> spare;
    Cutoff cutoff{.score = -std::numeric_limits<float>::infinity(), .tie = static_cast<int32_t>(t - 1)};
    if (scores == nullptr) {
      keep_all(seen, n, a.keys + row * n);
    } else {
      cutoff = choose(scores, seen, n, a.keys + row * n, spare);
    }
    a.cutoff[row] = cutoff.score;
    a.tie[row] = cutoff.tie;
  });
}

void indexer_keys(const IndexerKeys& a, Parallel& parallel) {
  const int64_t t = a.indexer.shape.t;
  auto needs = [&](int64_t row, int64_t) {
    return a.cutoff[row] != -std::numeric_limits<float>::infinity() || a.tie[row] < t - 1;
  };
  for_each_query(a.indexer, parallel, needs, [&](int64_t row, const Keys& seen, const float* scores) {
    int32_t* keys = a.keys + row * a.n;
    if (scores == nullptr) return keep_all(seen, a.n, keys);
    const int64_t count = chosen_keys(scores, seen, {.score = a.cutoff[row], .tie = a.tie[row]}, a.n, keys);
    std::fill(keys + count, keys + a.n, -1);
  });
}

}  // namespace fathom::cpu
#endif
