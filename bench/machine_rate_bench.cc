// The rate at which this machine multiplies float32 matrices, the limit that training speed is measured against: one
// product of 2048 x 2048 by 2048 x 2048 on all cores, by our own kernel and by XLA in each CPU plugin that is
// installed. The largest of these is taken as the limit (train_bench.py).
#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/cpu/gemm.h"
#include "program/product.h"
#include "runtime/executable.h"
#include "runtime/plugin.h"
#include "runtime/plugin_search.h"
#include "threads.h"
#include "timing.h"

namespace fathom {
namespace {

constexpr int64_t kSize = 2048;
constexpr double kFlops = 2.0 * kSize * kSize * kSize;

void own_gemm(benchmark::State& state) {
  std::vector<float> a(kSize * kSize, 0.5F);
  std::vector<float> b(kSize * kSize, 0.25F);
  std::vector<float> c(kSize * kSize);
  Threads threads = all_cores();
  for (auto _ : state) {
    cpu::gemm({.m = kSize,
               .n = kSize,
               .k = kSize,
               .a = {.data = a.data(), .row = kSize},
               .b = {.data = b.data(), .row = kSize},
               .c = c.data(),
               .c_row = kSize},
              threads);
    benchmark::DoNotOptimize(c.data());
  }
  count_flops(state, kFlops);
}
BENCHMARK(own_gemm)->UseRealTime()->Unit(benchmark::kMillisecond);

// Argument: the plugin's place among those installed.
void xla_dot(benchmark::State& state) {
  std::vector<std::string> plugins = installed_plugins(Hardware::kCpu);
  const auto which = static_cast<size_t>(state.range(0));
  if (which >= plugins.size()) {
    state.SkipWithError("no such plugin is installed");
    return;
  }
  std::shared_ptr<const Client> client = Client::create(Plugin::load(plugins[which]), ClientOptions{});
  Executable dot = Executable::compile(client, emit(square_product(kSize)), {});
  HostArray matrix = HostArray::allocate(DType::kF32, {kSize, kSize});
  std::ranges::fill(matrix.mutable_view<float>(), 0.5F);
  Buffer a = Buffer::from_host(client, matrix, *client->addressable_devices()[0]);
  Buffer b = Buffer::from_host(client, matrix, *client->addressable_devices()[0]);
  for (auto _ : state) dot.execute({&a, &b}).done.await();
  count_flops(state, kFlops);
  state.SetLabel(plugins[which]);
}
BENCHMARK(xla_dot)->ArgName("plugin")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
