// The grouped products at the sizes of the bench model (peers/bench-model.env: 2048 tokens times 4 experts are 8192
// rows, 32 experts of width 256, model width 512), in GFLOP/s on all cores, beside one dense product of the same size.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/cpu/gemm.h"
#include "kernels/grouped.h"
#include "threads.h"
#include "timing.h"

namespace fathom {
namespace {

constexpr int64_t kGroups = 32;
constexpr int64_t kRows = 8192;
constexpr int64_t kN = 256;
constexpr int64_t kK = 512;
constexpr double kFlops = 2.0 * kRows * kN * kK;

// Random numbers in [-1, 1] in memory of either type.
struct Data {
  Data(DType dtype, int64_t count, uint32_t seed) : f32(static_cast<size_t>(count)) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& x : f32) x = uniform(engine);
    if (dtype == DType::kBF16) {
      for (float x : f32) bf16.push_back(float_to_bf16(x));
    }
  }
  void* pointer() { return bf16.empty() ? static_cast<void*>(f32.data()) : static_cast<void*>(bf16.data()); }

  std::vector<float> f32;
  std::vector<uint16_t> bf16;
};

// A router's choice is uneven: groups of 128 to 384 rows, 256 on average.
std::vector<int32_t> uneven_groups() {
  std::vector<int32_t> sizes;
  for (int64_t i = 0; i < kGroups; ++i) sizes.push_back(i % 2 == 0 ? 128 + static_cast<int32_t>(i) * 8 : 0);
  for (size_t i = 1; i < sizes.size(); i += 2) sizes[i] = 2 * kRows / kGroups - sizes[i - 1];
  return sizes;
}

DType dtype_of(const benchmark::State& state) { return state.range(0) == 0 ? DType::kF32 : DType::kBF16; }

void dense_product(benchmark::State& state) {
  Data x(dtype_of(state), kRows * kK, 1);
  Data w(dtype_of(state), kN * kK, 2);
  Data y(dtype_of(state), kRows * kN, 3);
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::gemm({.m = kRows,
               .n = kN,
               .k = kK,
               .a = {.data = x.pointer(), .dtype = dtype_of(state), .row = kK, .column = 1},
               .b = {.data = w.pointer(), .dtype = dtype_of(state), .row = 1, .column = kK},
               .c = y.pointer(),
               .c_dtype = dtype_of(state),
               .c_row = kN},
              threads);
    benchmark::DoNotOptimize(y.pointer());
  }
  count_flops(state, kFlops);
}

void grouped_matmul(benchmark::State& state) {
  const bool transposed = state.range(1) == 1;
  Data x(dtype_of(state), kRows * (transposed ? kN : kK), 1);
  Data w(dtype_of(state), kGroups * kN * kK, 2);
  Data y(dtype_of(state), kRows * (transposed ? kK : kN), 3);
  std::vector<int32_t> sizes = uneven_groups();
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::grouped_matmul({.dtype = dtype_of(state),
                         .x = x.pointer(),
                         .weights = w.pointer(),
                         .y = y.pointer(),
                         .group_sizes = sizes,
                         .m = kRows,
                         .n = kN,
                         .k = kK,
                         .transposed = transposed},
                        threads);
    benchmark::DoNotOptimize(y.pointer());
  }
  count_flops(state, kFlops);
}

void grouped_outer(benchmark::State& state) {
  Data a(dtype_of(state), kRows * kN, 1);
  Data b(dtype_of(state), kRows * kK, 2);
  Data w(dtype_of(state), kGroups * kN * kK, 3);
  std::vector<int32_t> sizes = uneven_groups();
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::grouped_outer({.dtype = dtype_of(state),
                        .a = a.pointer(),
                        .b = b.pointer(),
                        .w = w.pointer(),
                        .group_sizes = sizes,
                        .m = kRows,
                        .n = kN,
                        .k = kK},
                       threads);
    benchmark::DoNotOptimize(w.pointer());
  }
  count_flops(state, kFlops);
}

BENCHMARK(dense_product)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(grouped_matmul)
    ->ArgNames({"bf16", "transposed"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(grouped_outer)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
