// The rate at which this machine reads memory, the limit that decoding is measured against: all cores add up the
// 64-bit words of an array that no cache holds.
#include <benchmark/benchmark.h>

#include <array>
#include <numeric>
#include <vector>

#include "threads.h"
#include "timing.h"

namespace fathom {
namespace {

constexpr int64_t kBytes = 1'500'000'000;
constexpr int64_t kTasks = 64;

// In sums of their own, so that no addition waits for another one, and asked for two kilobytes ahead.
uint64_t sum_of(const uint64_t* words, int64_t count) {
  std::array<uint64_t, 32> sums{};
  for (int64_t i = 0; i + std::ssize(sums) <= count; i += std::ssize(sums)) {
    for (int64_t line = 0; line < std::ssize(sums); line += 8) __builtin_prefetch(words + i + 256 + line);
    for (size_t k = 0; k < sums.size(); ++k) sums[k] += words[static_cast<size_t>(i) + k];
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

void read_memory(benchmark::State& state) {
  const std::vector<uint64_t> words(kBytes / sizeof(uint64_t), 1);
  std::vector<uint64_t> sums(kTasks);
  const int64_t each = std::ssize(words) / kTasks;
  Threads threads = all_cores();
  for (auto _ : state) {
    threads.run(kTasks,
                [&](int64_t task) { sums[static_cast<size_t>(task)] = sum_of(words.data() + task * each, each); });
    benchmark::DoNotOptimize(sums.data());
  }
  count_bytes(state, kBytes);
}
BENCHMARK(read_memory)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
