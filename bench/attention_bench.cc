// Attention's kernels on one core beside the rate of one dense product in the same run, and attention forward and
// backward in programs on the CPU plugin: the composed form beside the kernels. The shapes are the bench model's
// (8 heads, queries and keys of 96, values of 64; float32). Run from the root of the tree.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/flash_attention.h"
#include "graph/grad/gradients.h"
#include "kernels/attention.h"
#include "kernels/cpu/gemm.h"
#include "nn/attention.h"
#include "timing.h"

namespace fathom {
namespace {

AttentionShape bench_shape(int64_t batch, int64_t length) {
  return {.b = batch, .s = length, .h = 8, .w = 96, .u = 64};
}

// Pairs of query and key that the causal mask leaves.
double pairs(const AttentionShape& n) {
  return 0.5 * static_cast<double>(n.b * n.h) * static_cast<double>(n.s) * static_cast<double>(n.s + 1);
}
// Scores and outputs.
double forward_flops(const AttentionShape& n) { return pairs(n) * 2 * static_cast<double>(n.w + n.u); }
// Scores again, and the derivatives of p, q, k and v.
double backward_flops(const AttentionShape& n) { return pairs(n) * 2 * static_cast<double>(3 * n.w + 2 * n.u); }

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

struct Arrays {
  explicit Arrays(const AttentionShape& n)
      : segments(static_cast<size_t>(n.b * n.s), 1),
        q(random(n, n.w, 1)),
        k(random(n, n.w, 2)),
        v(random(n, n.u, 3)),
        d_out(random(n, n.u, 4)),
        lse(static_cast<size_t>(n.b * n.s * n.h)),
        delta(lse.size()),
        d_q(q.size()),
        d_k(k.size()),
        d_v(v.size()) {}

  static std::vector<float> random(const AttentionShape& n, int64_t width, uint32_t seed) {
    HostArray values = random_floats(Shape{{"x", n.b * n.s * n.h * width}}, seed, 0.3F);
    return {values.view<float>().begin(), values.view<float>().end()};
  }

  std::vector<int32_t> segments;
  std::vector<float> q, k, v, d_out, lse, delta, d_q, d_k, d_v;
};

void kernel_forward(benchmark::State& state) {
  const AttentionShape n = bench_shape(1, state.range(0));
  Arrays x(n);
  Serial serial;
  for (auto _ : state) {
    cpu::attention({.shape = n,
                    .q = x.q.data(),
                    .k = x.k.data(),
                    .v = x.v.data(),
                    .segments = x.segments.data(),
                    .out = x.d_v.data(),
                    .lse = x.lse.data()},
                   serial);
  }
  report(state, forward_flops(n));
}
BENCHMARK(kernel_forward)->Arg(128)->Arg(512)->Arg(2048)->Unit(benchmark::kMillisecond);

void kernel_backward(benchmark::State& state) {
  const AttentionShape n = bench_shape(1, state.range(0));
  Arrays x(n);
  std::fill(x.lse.begin(), x.lse.end(), 10.0F);
  Serial serial;
  for (auto _ : state) {
    cpu::attention_grad({.shape = n,
                         .q = x.q.data(),
                         .k = x.k.data(),
                         .v = x.v.data(),
                         .segments = x.segments.data(),
                         .lse = x.lse.data(),
                         .d_out = x.d_out.data(),
                         .delta = x.delta.data(),
                         .d_q = x.d_q.data(),
                         .d_k = x.d_k.data(),
                         .d_v = x.d_v.data()},
                        serial);
  }
  report(state, backward_flops(n));
}
BENCHMARK(kernel_backward)->Arg(128)->Arg(512)->Arg(2048)->Unit(benchmark::kMillisecond);

enum class Form : uint8_t { kComposed, kKernels };

// Output and gradients of 4 rows, in a program.
std::unique_ptr<Graph> attention_graph(const AttentionShape& n, Form form) {
  const Axis b{"b", n.b}, s{"s", n.s}, t{"t", n.s}, h{"h", n.h}, w{"w", n.w}, u{"u", n.u};
  auto g = std::make_unique<Graph>();
  Value q = g->arg("q", {DType::kF32, Shape{b, s, h, w}}), k = g->arg("k", {DType::kF32, Shape{b, t, h, w}});
  Value v = g->arg("v", {DType::kF32, Shape{b, t, h, u}}), d = g->arg("d", {DType::kF32, Shape{b, s, h, u}});
  Value segments = g->arg("segments", {DType::kS32, Shape{b, s}});
  Value out = form == Form::kKernels ? flash_attention(q, k, v, segments) : plain_attention({q, k, v, segments});
  auto grads = gradients(reduce_sum(out * d, ""), {q, k, v});
  g->root().results = {out, grads[0], grads[1], grads[2]};
  return g;
}

void program(benchmark::State& state, Form form) {
  const AttentionShape n = bench_shape(4, state.range(0));
  const auto& client = test_client();
  const EmitOptions options = form == Form::kKernels ? with_kernels(*client) : EmitOptions{};
  Executable executable = Executable::compile(client, emit(test_program(attention_graph(n, form)), options), {});
  const Shape wide{{"b", n.b}, {"s", n.s}, {"h", n.h}, {"w", n.w}},
      value{{"b", n.b}, {"s", n.s}, {"h", n.h}, {"u", n.u}};
  const Shape row{{"b", n.b}, {"s", n.s}};
  std::vector<Buffer> buffers;
  for (const HostArray& a : {random_floats(wide, 1, 0.1F), random_floats(wide, 2), random_floats(value, 3),
                             random_floats(value, 4), integers(row, std::vector<int32_t>(n.b * n.s, 1))}) {
    buffers.push_back(Buffer::from_host(client, a, *client->addressable_devices()[0]));
  }
  std::vector<Buffer*> arguments;
  for (Buffer& b : buffers) arguments.push_back(&b);
  executable.execute(arguments).done.await();
  for (auto _ : state) executable.execute(arguments).done.await();
  count_flops(state, forward_flops(n) + backward_flops(n));
}

void program_composed(benchmark::State& state) { program(state, Form::kComposed); }
BENCHMARK(program_composed)->Arg(512)->Arg(2048)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

void program_kernels(benchmark::State& state) { program(state, Form::kKernels); }
BENCHMARK(program_kernels)->Arg(512)->Arg(2048)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace fathom
