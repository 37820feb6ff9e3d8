// The indexer's loss over lists of keys: for some blocks of queries the heads' attention is summed up list by list,
// then the indexer's scores, block of keys after block of keys.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selected_loss.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/selected-inl.h"
#include "kernels/selected_loss.h"
#include "kernels/selection.h"

#ifndef FATHOM_KERNELS_CPU_SELECTED_LOSS_TASK
#define FATHOM_KERNELS_CPU_SELECTED_LOSS_TASK
namespace fathom::cpu {

// Blocks of queries that take in a block of keys together, which is copied once for all of them.
constexpr int64_t kTogether = 4;

// Blocks of queries of one row of the batch: `first`, `first` + `step`, ....
struct LossTask {
  int64_t batch = 0, first = 0, step = 1, count = 0;
  float* d_ik = nullptr;  // [blocks of keys] of this task alone, striped
};

}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// The floats of all blocks of the indexer's keys.
int64_t indexer_keys_size(const SelectedLoss& a) { return (a.shape.t + kBlock - 1) / kBlock * Striped::size(a.i); }

// How many places of each query's list are done.
using Done = std::array<int64_t, kBlock>;

// The blocks of queries at hand, at most kTogether, and the block of keys.
struct LossBlocks {
  Striped q, k;                               // [kTogether], of one head; and its keys
  Striped iq, ik, d_iq;                       // of one block of queries, [g]; and the indexer's keys
  float* target = nullptr;                    // [kTogether, kBlock, n], list by list, and a vector behind them
  float* scores = nullptr;                    // the same
  float *sums = nullptr, *columns = nullptr;  // of the pairs, and a zero behind all places; the same by columns
  float* d_weights = nullptr;                 // [kBlock, g]
  std::array<Done, kTogether> done;

  void lay_out(const SelectedLoss& a, Parts& parts) {
    const SelectedShape& n = a.shape;
    q = {n.w, parts.take(kTogether * Striped::size(n.w))};
    k = {n.w, parts.take(Striped::size(n.w))};
    iq = {a.i, parts.take(a.g * Striped::size(a.i))};
    d_iq = {a.i, parts.take(a.g * Striped::size(a.i))};
    ik = {a.i, parts.take(Striped::size(a.i))};
    target = parts.take(kTogether * kBlock * n.n + kLanes);
    scores = parts.take(kTogether * kBlock * n.n + kLanes);
    sums = parts.take(kMaxPlaces + 1 + kLanes);
    columns = parts.take(kMaxPlaces + kLanes);
    d_weights = parts.take(kBlock * a.g);
  }
  void start_lists() {
    for (Done& d : done) d.fill(0);
  }
};

// One row of b rows of tokens, [width] each.
HeadRows token_rows(DType dtype, const void* data, int64_t token, int64_t width) {
  return HeadRows{dtype, data, width}.from(token);
}

// to[i] += e^(scores[i] - lse)
HWY_ATTR void add_exponentials(const float* scores, int64_t count, float lse, float* to) {
  const Tag d;
  for (int64_t i = 0; i < count; i += kLanes) {
    const auto there = first_lanes(count - i);
    const Vec p = exp_negative(hn::Sub(hn::LoadU(d, scores + i), hn::Set(d, lse)));
    hn::BlendedStore(hn::Add(hn::LoadU(d, to + i), p), there, d, to + i);
  }
}

// The blocks of a task from its number `start` on, and what they read.
struct LossGroup {
  const SelectedLoss& a;
  const PairTable& table;
  const LossTask& task;
  int64_t start = 0, count = 0;

  int64_t block(int64_t i) const { return task.first + (start + i) * task.step; }
  int64_t queries(int64_t i) const { return std::min(kBlock, a.shape.s - block(i) * kBlock); }
  int64_t keys(int64_t key_block) const { return std::min(kBlock, a.shape.t - key_block * kBlock); }
  // The first query of a block among [b, s].
  int64_t token(int64_t i) const { return task.batch * a.shape.s + block(i) * kBlock; }
  const QueryBlockPairs& pairs(int64_t i) const {
    return table.pairs[static_cast<size_t>(task.batch * table.query_blocks + block(i))];
  }
};

// The head's attention.
HWY_ATTR void add_head(const LossGroup& group, int64_t head, LossBlocks& x) {
  const SelectedLoss& a = group.a;
  const SelectedShape& n = a.shape;
  const int64_t index = group.task.batch * n.h + head;
  const HeadRows q = selected_rows(a.dtype, a.q, n, n.s, index, n.w),
                 k = selected_rows(a.dtype, a.k, n, n.t, index, n.w);
  for (int64_t i = 0; i < group.count; ++i) {
    load_striped(q.from(group.block(i) * kBlock), group.queries(i), x.q.block(i));
  }
  x.start_lists();
  for (int64_t t = 0; t < group.table.key_blocks; ++t) {
    bool loaded = false;
    for (int64_t i = 0; i < group.count; ++i) {
      const Pairs pairs = group.pairs(i).by_query.block(t);
      if (pairs.places == 0) continue;
      if (!std::exchange(loaded, true)) load_striped(k.from(t * kBlock), group.keys(t), x.k);
      pair_dots(pairs, x.q.block(i), x.k, x.sums);
      const float* lse = a.lse + index * n.s + group.block(i) * kBlock;
      for (const PairRow& row : pairs.rows) {
        int64_t& done = x.done[static_cast<size_t>(i)][static_cast<size_t>(row.index)];
        float* to = x.target + (i * kBlock + row.index) * n.n + done;
        add_exponentials(x.sums + row.first, row.count, lse[row.index], to);
        done += row.count;
      }
    }
  }
}

// to[i] += weight * max(products[i], 0)
HWY_ATTR void add_scores(const float* products, int64_t count, float weight, float* to) {
  const Tag d;
  for (int64_t i = 0; i < count; i += kLanes) {
    const auto there = first_lanes(count - i);
    const Vec x = hn::LoadU(d, products + i);
    const Vec score = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
    hn::BlendedStore(hn::MulAdd(hn::Set(d, weight), score, hn::LoadU(d, to + i)), there, d, to + i);
  }
}

// Of each query of block `i` its indexer's scores.
HWY_ATTR void score_block(const LossGroup& group, int64_t i, LossBlocks& x) {
  const SelectedLoss& a = group.a;
  const int64_t token = group.token(i), n = a.shape.n;
  const HeadRows iq = token_rows(a.dtype, a.iq, token, a.g * a.i);
  const HeadRows ik = token_rows(a.dtype, a.ik, group.task.batch * a.shape.t, a.i);
  for (int64_t head = 0; head < a.g; ++head) load_striped(iq.from(0, head * a.i), group.queries(i), x.iq.block(head));
  x.start_lists();
  for (int64_t t = 0; t < group.table.key_blocks; ++t) {
    const Pairs pairs = group.pairs(i).by_query.block(t);
    if (pairs.places == 0) continue;
    load_striped(ik.from(t * kBlock), group.keys(t), x.ik);
    for (int64_t head = 0; head < a.g; ++head) {
      pair_dots(pairs, x.iq.block(head), x.ik, x.sums);
      for (const PairRow& row : pairs.rows) {
        float* to = x.scores + (i * kBlock + row.index) * n + x.done[0][static_cast<size_t>(row.index)];
        add_scores(x.sums + row.first, row.count, a.weights[(token + row.index) * a.g + head], to);
      }
    }
    for (const PairRow& row : pairs.rows) x.done[0][static_cast<size_t>(row.index)] += row.count;
  }
}

// Products of one row's places with the indexer's queries to their derivatives, zeros where a place is filled up, from
// those of its scores. Gives the derivative of the weight.
HWY_ATTR float row_product_grads(float weight, const float* d_scores, int64_t count, float* products) {
  const Tag d;
  Vec sum = hn::Zero(d);
  const int64_t places = round_up(count, kGroup);
  for (int64_t i = 0; i < places; i += kLanes) {
    const Vec x = hn::LoadU(d, products + i);
    const Vec d_score = hn::IfThenElseZero(first_lanes(count - i), hn::LoadU(d, d_scores + i));
    const auto off = hn::Le(x, hn::Zero(d));
    sum = hn::MulAdd(d_score, hn::IfThenZeroElse(off, x), sum);
    const Vec d_product = hn::IfThenZeroElse(off, hn::Mul(d_score, hn::Set(d, weight)));
    hn::BlendedStore(d_product, first_lanes(places - i), d, products + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// One head of the pairs of block `i` with the block of keys at hand, whose number is `t`.
HWY_ATTR void add_product_grads(const LossGroup& group, int64_t i, int64_t t, int64_t head, LossBlocks& x) {
  const SelectedLoss& a = group.a;
  const QueryBlockPairs& block = group.pairs(i);
  const Pairs pairs = block.by_query.block(t);
  const Striped iq = x.iq.block(head);
  pair_dots(pairs, iq, x.ik, x.sums);
  for (const PairRow& row : pairs.rows) {
    const float* d_scores = x.scores + (i * kBlock + row.index) * a.shape.n + x.done[0][static_cast<size_t>(row.index)];
    const float weight = a.weights[(group.token(i) + row.index) * a.g + head];
    x.d_weights[row.index * a.g + head] += row_product_grads(weight, d_scores, row.count, x.sums + row.first);
  }
  add_pair_rows(pairs, x.sums, x.ik, x.d_iq.block(head));
  x.sums[kMaxPlaces] = 0;
  const std::vector<uint16_t>& from = block.from[static_cast<size_t>(t)];
  for (size_t place = 0; place < from.size(); ++place) x.columns[place] = x.sums[from[place]];
  add_pair_rows(block.by_key.block(t), x.columns, iq, Striped{a.i, group.task.d_ik}.block(t));
}

// The results of block `i`, whose scores are their derivatives by now.
HWY_ATTR void grad_block(const LossGroup& group, const SelectedLossGrad& d, int64_t i, LossBlocks& x) {
  const SelectedLoss& a = group.a;
  const int64_t token = group.token(i), queries = group.queries(i);
  const HeadRows ik = token_rows(a.dtype, a.ik, group.task.batch * a.shape.t, a.i);
  clear(x.d_iq, a.g);
  std::fill(x.d_weights, x.d_weights + kBlock * a.g, 0.0f);
  x.start_lists();
  for (int64_t t = 0; t < group.table.key_blocks; ++t) {
    const Pairs pairs = group.pairs(i).by_query.block(t);
    if (pairs.places == 0) continue;
    load_striped(ik.from(t * kBlock), group.keys(t), x.ik);
    for (int64_t head = 0; head < a.g; ++head) add_product_grads(group, i, t, head, x);
    for (const PairRow& row : pairs.rows) x.done[0][static_cast<size_t>(row.index)] += row.count;
  }
  const HeadRows d_iq = token_rows(a.dtype, d.d_iq, token, a.g * a.i);
  for (int64_t head = 0; head < a.g; ++head) store_striped(x.d_iq.block(head), queries, d_iq.from(0, head * a.i));
  std::copy(x.d_weights, x.d_weights + queries * a.g, d.d_weights + token * a.g);
}

// kl or, where it is null, the derivatives.
HWY_ATTR void loss_task(const SelectedLossGrad& d, const PairTable& table, const LossTask& task, float* kl) {
  thread_local Scratch scratch;
  const SelectedLoss& a = d.loss;
  const int64_t n = a.shape.n;
  LossBlocks x;
  Parts size(nullptr);
  x.lay_out(a, size);
  Parts parts(scratch.reserve(size.used()));
  x.lay_out(a, parts);

  for (int64_t start = 0; start < task.count; start += kTogether) {
    const LossGroup group{a, table, task, start, std::min(kTogether, task.count - start)};
    std::fill(x.target, x.target + group.count * kBlock * n, 0.0f);
    std::fill(x.scores, x.scores + group.count * kBlock * n, 0.0f);
    for (int64_t head = 0; head < a.shape.h; ++head) add_head(group, head, x);
    for (int64_t i = 0; i < group.count; ++i) {
      score_block(group, i, x);
      for (int64_t query = 0; query < group.queries(i); ++query) {
        const int64_t row = group.token(i) + query, at = (i * kBlock + query) * n;
        const auto count = static_cast<size_t>(x.done[0][static_cast<size_t>(query)]);
        const std::span target(x.target + at, count), scores(x.scores + at, count);
        const float loss = query_loss(a.shape.h, target, scores);
        if (kl != nullptr) {
          kl[row] = loss;
        } else {
          query_loss_grad(d.d_kl[row], target, scores);
        }
      }
      if (kl == nullptr) grad_block(group, d, i, x);
    }
  }
}

// d_ik of one block of keys from the tasks of its row of the batch, `step` floats apart. The first is overwritten.
HWY_ATTR void add_key_grads(const SelectedLossGrad& d, int64_t batch, int64_t t, int64_t tasks, int64_t step,
                            float* from) {
  const SelectedLoss& a = d.loss;
  const Striped sum = Striped{a.i, from}.block(t);
  for (int64_t task = 1; task < tasks; ++task) {
    const float* HWY_RESTRICT part = sum.data + task * step;
    for (int64_t i = 0; i < Striped::size(a.i); ++i) sum.data[i] += part[i];
  }
  const HeadRows to = token_rows(a.dtype, d.d_ik, batch * a.shape.t + t * kBlock, a.i);
  store_striped(sum, std::min(kBlock, a.shape.t - t * kBlock), to);
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(indexer_keys_size);
HWY_EXPORT(loss_task);
HWY_EXPORT(add_key_grads);

namespace {

// Parts of the derivative, each with a float32 d_ik of its own. A constant and not the number of threads: sums must not
// depend on that.
constexpr int64_t kGradTasks = 16;

}  // namespace

void selected_loss(const SelectedLoss& a, float* kl, Parallel& parallel) {
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  const PairTable table = pair_table(n, a.keys, PairOrder::kByQuery, parallel);
  const int64_t tasks = (table.query_blocks + kTogether - 1) / kTogether;
  parallel.run(n.b * tasks, [&](int64_t i) {
    const int64_t first = i % tasks * kTogether;
    const LossTask task{.batch = i / tasks, .first = first, .count = std::min(kTogether, table.query_blocks - first)};
    HWY_DYNAMIC_DISPATCH(loss_task)({.loss = a}, table, task, kl);
  });
}

void selected_loss_grad(const SelectedLossGrad& d, Parallel& parallel) {
  const SelectedLoss& a = d.loss;
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  if (n.b == 0) return;
  const PairTable table = pair_table(n, a.keys, PairOrder::kBoth, parallel);
  const int64_t tasks = std::clamp<int64_t>((kGradTasks + n.b - 1) / n.b, 1, std::max<int64_t>(1, table.query_blocks));
  const int64_t step = HWY_DYNAMIC_DISPATCH(indexer_keys_size)(a);
  Scratch scratch;
  float* d_ik = scratch.reserve(n.b * tasks * step);
  std::fill(d_ik, d_ik + n.b * tasks * step, 0.0f);
  parallel.run(n.b * tasks, [&](int64_t i) {
    const int64_t first = i % tasks;
    const LossTask task{.batch = i / tasks,
                        .first = first,
                        .step = tasks,
                        .count = (table.query_blocks - first + tasks - 1) / tasks,
                        .d_ik = d_ik + i * step};
    HWY_DYNAMIC_DISPATCH(loss_task)(d, table, task, nullptr);
  });
  parallel.run(n.b * table.key_blocks, [&](int64_t i) {
    const int64_t batch = i / table.key_blocks;
    HWY_DYNAMIC_DISPATCH(add_key_grads)
    (d, batch, i % table.key_blocks, tasks, step, d_ik + batch * tasks * step);
  });
}

}  // namespace fathom::cpu
#endif
