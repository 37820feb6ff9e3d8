// The kernels of sparse attention on one core, beside causal attention over all keys in the same run (16 heads, queries
// and keys of 192, values of 128; float32; 512 keys chosen for each query). Run from the root of the tree.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/indexer.h"
#include "kernels/selected_attention.h"
#include "kernels/selected_loss.h"
#include "timing.h"

namespace fathom {
namespace {

constexpr int64_t kHeads = 16, kKeyWidth = 192, kValueWidth = 128, kTopK = 512;

std::vector<float> random(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-0.3F, 0.3F);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = uniform(engine);
  return values;
}

// FLOP/s of one core in one product of 768 x 768 x 768, the best of ten.
double gemm_rate() {
  static const double rate = [] {
    constexpr int64_t kSize = 768;
    std::vector<float> a(kSize * kSize, 1), b(kSize * kSize, 1), c(kSize * kSize);
    const double seconds = best_seconds(10, [&] {
      cpu::gemm({.m = kSize,
                 .n = kSize,
                 .k = kSize,
                 .a = {.data = a.data(), .row = kSize},
                 .b = {.data = b.data(), .row = kSize},
                 .c = c.data(),
                 .c_row = kSize});
    });
    return 2.0 * kSize * kSize * kSize / seconds;
  }();
  return rate;
}

void report(benchmark::State& state, double flops) {
  count_flops(state, flops);
  state.counters["gemm_FLOP/s"] = gemm_rate();
}

enum class Kind : uint8_t { kDense, kSelected };

// One row of `length` tokens. Each query's list holds kTopK keys at random, or all that it sees.
struct Arrays {
  explicit Arrays(int64_t length)
      : s(length),
        segments(static_cast<size_t>(s), 1),
        q(random(s * kHeads * kKeyWidth, 1)),
        k(random(s * kHeads * kKeyWidth, 2)),
        v(random(s * kHeads * kValueWidth, 3)),
        d_out(random(s * kHeads * kValueWidth, 4)),
        out(v.size()),
        lse(static_cast<size_t>(s * kHeads)),
        delta(lse.size()),
        d_q(q.size()),
        d_k(k.size()),
        d_v(v.size()) {
    std::mt19937 engine(5);
    std::vector<int32_t> seen;
    for (int32_t i = 0; i < s; ++i) {
      seen.push_back(i);
      auto end = keys.insert(keys.end(), kTopK, -1);
      std::sample(seen.begin(), seen.end(), end, kTopK, engine);
    }
  }

  // Pairs of query and key of one head.
  double pairs(Kind kind) const {
    double count = 0;
    for (int64_t i = 1; i <= s; ++i) count += static_cast<double>(kind == Kind::kDense ? i : std::min(i, kTopK));
    return count;
  }
  // Scores and outputs.
  double forward_flops(Kind kind) const { return pairs(kind) * kHeads * 2 * (kKeyWidth + kValueWidth); }
  // Scores again, and the derivatives of p, q, k and v.
  double backward_flops(Kind kind) const { return pairs(kind) * kHeads * 2 * (3 * kKeyWidth + 2 * kValueWidth); }

  void forward(Kind kind, Parallel& parallel) {
    if (kind == Kind::kDense) {
      return cpu::attention({.shape = {.b = 1, .s = s, .h = kHeads, .w = kKeyWidth, .u = kValueWidth},
                             .q = q.data(),
                             .k = k.data(),
                             .v = v.data(),
                             .segments = segments.data(),
                             .out = out.data(),
                             .lse = lse.data()},
                            parallel);
    }
    cpu::selected_attention({.shape = selected_shape(),
                             .q = q.data(),
                             .k = k.data(),
                             .v = v.data(),
                             .keys = keys.data(),
                             .out = out.data(),
                             .lse = lse.data()},
                            parallel);
  }

  void backward(Kind kind, Parallel& parallel) {
    if (kind == Kind::kDense) {
      return cpu::attention_grad({.shape = {.b = 1, .s = s, .h = kHeads, .w = kKeyWidth, .u = kValueWidth},
                                  .q = q.data(),
                                  .k = k.data(),
                                  .v = v.data(),
                                  .segments = segments.data(),
                                  .lse = lse.data(),
                                  .d_out = d_out.data(),
                                  .delta = delta.data(),
                                  .d_q = d_q.data(),
                                  .d_k = d_k.data(),
                                  .d_v = d_v.data()},
                                 parallel);
    }
    cpu::selected_attention_grad({.shape = selected_shape(),
                                  .q = q.data(),
                                  .k = k.data(),
                                  .v = v.data(),
                                  .keys = keys.data(),
                                  .lse = lse.data(),
                                  .d_out = d_out.data(),
                                  .delta = delta.data(),
                                  .d_q = d_q.data(),
                                  .d_k = d_k.data(),
                                  .d_v = d_v.data()},
                                 parallel);
  }

  SelectedShape selected_shape() const {
    return {.b = 1, .s = s, .t = s, .h = kHeads, .w = kKeyWidth, .u = kValueWidth, .n = kTopK};
  }

  int64_t s;
  std::vector<int32_t> segments, keys;
  std::vector<float> q, k, v, d_out, out, lse, delta, d_q, d_k, d_v;
};

void forward(benchmark::State& state, Kind kind) {
  Arrays x(state.range(0));
  Serial serial;
  for (auto _ : state) x.forward(kind, serial);
  report(state, x.forward_flops(kind));
}

void backward(benchmark::State& state, Kind kind) {
  Arrays x(state.range(0));
  Serial serial;
  x.forward(kind, serial);
  for (auto _ : state) x.backward(kind, serial);
  report(state, x.backward_flops(kind));
}

void dense_forward(benchmark::State& state) { forward(state, Kind::kDense); }
void selected_forward(benchmark::State& state) { forward(state, Kind::kSelected); }
void dense_backward(benchmark::State& state) { backward(state, Kind::kDense); }
void selected_backward(benchmark::State& state) { backward(state, Kind::kSelected); }

// The choice of the keys, by 64 heads of 128.
void indexer_selection(benchmark::State& state) {
  const IndexerShape n{.b = 1, .s = state.range(0), .t = state.range(0), .g = 64, .i = 128};
  const std::vector<float> q = random(n.s * n.g * n.i, 1), k = random(n.t * n.i, 2), weights = random(n.s * n.g, 3);
  const std::vector<int32_t> segments(static_cast<size_t>(n.t), 1);
  std::vector<float> cutoff(static_cast<size_t>(n.s));
  std::vector<int32_t> tie(cutoff.size()), keys(cutoff.size() * kTopK);
  Serial serial;
  for (auto _ : state) {
    cpu::indexer_selection(
        {.indexer = {.shape = n, .q = q.data(), .k = k.data(), .weights = weights.data(), .segments = segments.data()},
         .top_k = kTopK,
         .cutoff = cutoff.data(),
         .tie = tie.data(),
         .keys = keys.data()},
        serial);
  }
  // Queries that keep all that they see need no scores.
  const double all = 0.5 * static_cast<double>(n.s) * static_cast<double>(n.s + 1), kept = 0.5 * kTopK * (kTopK + 1);
  report(state, (all - kept) * 2 * static_cast<double>(n.g * n.i));
}

// The indexer's loss over the chosen keys, and its derivative: 64 heads of 128 beside those of attention.
struct LossArrays {
  explicit LossArrays(int64_t length)
      : x(length),
        iq(random(length * kIndexHeads * kIndexWidth, 6)),
        ik(random(length * kIndexWidth, 7)),
        weights(random(length * kIndexHeads, 8)),
        d_kl(random(length, 9)),
        kl(d_kl.size()),
        d_iq(iq.size()),
        d_ik(ik.size()),
        d_weights(weights.size()) {
    Serial serial;
    x.forward(Kind::kSelected, serial);
  }

  SelectedLoss loss() const {
    return {.shape = x.selected_shape(),
            .g = kIndexHeads,
            .i = kIndexWidth,
            .q = x.q.data(),
            .k = x.k.data(),
            .lse = x.lse.data(),
            .keys = x.keys.data(),
            .iq = iq.data(),
            .ik = ik.data(),
            .weights = weights.data()};
  }
  // The scores of attention, and so many products as large as the indexer's scores.
  double flops(int products) const {
    return x.pairs(Kind::kSelected) * 2 *
           static_cast<double>(kHeads * kKeyWidth + products * kIndexHeads * kIndexWidth);
  }

  static constexpr int64_t kIndexHeads = 64, kIndexWidth = 128;
  Arrays x;
  std::vector<float> iq, ik, weights, d_kl, kl, d_iq, d_ik, d_weights;
};

void indexer_loss(benchmark::State& state) {
  LossArrays x(state.range(0));
  Serial serial;
  for (auto _ : state) cpu::selected_loss(x.loss(), x.kl.data(), serial);
  report(state, x.flops(1));
}

void indexer_loss_grad(benchmark::State& state) {
  LossArrays x(state.range(0));
  Serial serial;
  for (auto _ : state) {
    cpu::selected_loss_grad({.loss = x.loss(),
                             .d_kl = x.d_kl.data(),
                             .d_iq = x.d_iq.data(),
                             .d_ik = x.d_ik.data(),
                             .d_weights = x.d_weights.data()},
                            serial);
  }
  report(state, x.flops(3));
}

BENCHMARK(dense_forward)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);
BENCHMARK(selected_forward)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);
BENCHMARK(dense_backward)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);
BENCHMARK(selected_backward)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);
BENCHMARK(indexer_selection)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);
BENCHMARK(indexer_loss)->Arg(4096)->Unit(benchmark::kMillisecond);
BENCHMARK(indexer_loss_grad)->Arg(4096)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
