// The passes over whole arrays: AdamW, sums of squares and the gated activation at a size that no cache holds, cross
// entropy at the bench model's (peers/bench-model.env: 2048 tokens, 8192 words) and at a large vocabulary. In GB/s on
// all cores: the bytes that must be read and written once. `triad` in the same run is the machine's limit.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/gated_silu.h"
#include "threads.h"
#include "timing.h"

namespace fathom {
namespace {

constexpr int64_t kParameters = 1 << 25;

// Random numbers in [-1, 1] in memory of either type.
struct Array {
  Array(DType dtype, int64_t count, uint32_t seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    if (dtype == DType::kF32) f32.resize(static_cast<size_t>(count));
    if (dtype == DType::kBF16) bf16.resize(static_cast<size_t>(count));
    for (float& x : f32) x = uniform(engine);
    for (uint16_t& x : bf16) x = float_to_bf16(uniform(engine));
  }
  void* data() { return bf16.empty() ? static_cast<void*>(f32.data()) : static_cast<void*>(bf16.data()); }

  std::vector<float> f32;
  std::vector<uint16_t> bf16;
};

DType dtype_of(const benchmark::State& state) { return state.range(0) == 0 ? DType::kF32 : DType::kBF16; }

// a = b + s c in blocks on all cores, as the STREAM benchmark counts it: two reads and a write.
void triad(benchmark::State& state) {
  Array a(DType::kF32, kParameters, 1), b(DType::kF32, kParameters, 2), c(DType::kF32, kParameters, 3);
  constexpr int64_t kBlock = 1 << 15;
  Threads threads = all_cores();
  for (auto _ : state) {
    threads.run(kParameters / kBlock, [&](int64_t t) {
      float* __restrict to = a.f32.data() + t * kBlock;
      const float *from = b.f32.data() + t * kBlock, *with = c.f32.data() + t * kBlock;
      for (int64_t i = 0; i < kBlock; ++i) to[i] = from[i] + 0.5F * with[i];
    });
    benchmark::DoNotOptimize(a.data());
  }
  count_bytes(state, 3 * int64_t{4} * kParameters);
}

// x = s x in place: as many writes as reads, and no line is fetched only to be overwritten.
void scale_in_place(benchmark::State& state) {
  Array a(DType::kF32, kParameters, 1);
  constexpr int64_t kBlock = 1 << 15;
  Threads threads = all_cores();
  for (auto _ : state) {
    threads.run(kParameters / kBlock, [&](int64_t t) {
      float* x = a.f32.data() + t * kBlock;
      for (int64_t i = 0; i < kBlock; ++i) x[i] *= 1.0001F;
    });
    benchmark::DoNotOptimize(a.data());
  }
  count_bytes(state, 2 * int64_t{4} * kParameters);
}

void adamw(benchmark::State& state) {
  const DType dtype = dtype_of(state);
  Array gradient(dtype, kParameters, 1), parameter(dtype, kParameters, 2), mu(dtype, kParameters, 3);
  Array nu(dtype, kParameters, 4);
  for (float& x : nu.f32) x *= x;
  for (uint16_t& x : nu.bf16) x &= 0x7fffU;
  Threads threads = all_cores();
  for (auto _ : state) {
    benchmark::DoNotOptimize(cpu::adamw({.count = kParameters,
                                         .gradient_dtype = dtype,
                                         .parameter_dtype = dtype,
                                         .mu_dtype = dtype,
                                         .gradient = gradient.data(),
                                         .parameter = parameter.data(),
                                         .mu = mu.data(),
                                         .nu = nu.data(),
                                         .rate = 1e-4F,
                                         .b1 = 0.9,
                                         .b2 = 0.95,
                                         .eps = 1e-8,
                                         .weight_decay = 0.1},
                                        threads));
  }
  count_bytes(state, 7 * byte_size(dtype) * kParameters);
}

void sum_of_squares(benchmark::State& state) {
  Array x(dtype_of(state), kParameters, 1);
  Threads threads = all_cores();
  for (auto _ : state) {
    benchmark::DoNotOptimize(cpu::sum_of_squares(dtype_of(state), x.data(), kParameters, threads));
  }
  count_bytes(state, byte_size(dtype_of(state)) * kParameters);
}

void gated_silu(benchmark::State& state) {
  const DType dtype = dtype_of(state);
  Array gate(dtype, kParameters, 1), up(dtype, kParameters, 2), y(dtype, kParameters, 3);
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::gated_silu({.dtype = dtype, .count = kParameters, .gate = gate.data(), .up = up.data(), .y = y.data()},
                    threads);
  }
  count_bytes(state, 3 * byte_size(dtype) * kParameters);
}

void gated_silu_grad(benchmark::State& state) {
  const DType dtype = dtype_of(state);
  Array gate(dtype, kParameters, 1), up(dtype, kParameters, 2), d(dtype, kParameters, 3);
  Array d_gate(dtype, kParameters, 4), d_up(dtype, kParameters, 5);
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::gated_silu_grad({.dtype = dtype,
                          .count = kParameters,
                          .gate = gate.data(),
                          .up = up.data(),
                          .d = d.data(),
                          .d_gate = d_gate.data(),
                          .d_up = d_up.data()},
                         threads);
  }
  count_bytes(state, 5 * byte_size(dtype) * kParameters);
}

struct Rows {
  Rows(DType dtype, int64_t rows, int64_t vocab)
      : logits(dtype, rows * vocab, 1),
        targets(static_cast<size_t>(rows), 1),
        numbers(static_cast<size_t>(rows), 9.0F) {}
  Array logits;
  std::vector<int32_t> targets;
  std::vector<float> numbers;  // as log_z it keeps the overwritten logits small
};

// Rows of the bench model's vocabulary, or fewer of DeepSeek-V3's: 64 MiB and 63 MiB of float32.
int64_t rows_of(const benchmark::State& state) { return state.range(1) == 8192 ? 2048 : 128; }

void cross_entropy(benchmark::State& state) {
  const int64_t rows = rows_of(state), vocab = state.range(1);
  Rows r(dtype_of(state), rows, vocab);
  std::vector<float> chosen = r.numbers;
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::cross_entropy({.dtype = dtype_of(state),
                        .rows = rows,
                        .vocab = vocab,
                        .logits = r.logits.data(),
                        .targets = r.targets.data(),
                        .log_z = r.numbers.data(),
                        .chosen = chosen.data()},
                       threads);
  }
  count_bytes(state, byte_size(dtype_of(state)) * rows * vocab);
}

void cross_entropy_grad(benchmark::State& state) {
  const int64_t rows = rows_of(state), vocab = state.range(1);
  Rows r(dtype_of(state), rows, vocab);
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::cross_entropy_grad({.dtype = dtype_of(state),
                             .rows = rows,
                             .vocab = vocab,
                             .logits = r.logits.data(),
                             .targets = r.targets.data(),
                             .log_z = r.numbers.data(),
                             .d_log_z = r.numbers.data(),
                             .d_chosen = r.numbers.data(),
                             .d_logits = r.logits.data()},
                            threads);
  }
  count_bytes(state, 2 * byte_size(dtype_of(state)) * rows * vocab);
}

BENCHMARK(triad)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(scale_in_place)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(adamw)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(sum_of_squares)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gated_silu)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gated_silu_grad)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(cross_entropy)
    ->ArgNames({"bf16", "vocab"})
    ->ArgsProduct({{0, 1}, {8192, 129280}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(cross_entropy_grad)
    ->ArgNames({"bf16", "vocab"})
    ->ArgsProduct({{0, 1}, {8192, 129280}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
