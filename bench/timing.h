// For benchmarks: clocks, and rates as they are reported.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <limits>

#include "base/stopwatch.h"

namespace fathom {

// Of one iteration.
inline void count_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}
inline void count_bytes(benchmark::State& state, int64_t bytes) {
  state.counters["B/s"] = benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate);
}

// The shortest time of `tries` calls, in seconds.
template <typename F>
double best_seconds(int tries, const F& call) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < tries; ++i) {
    const Stopwatch watch;
    call();
    best = std::min(best, watch.seconds());
  }
  return best;
}

}  // namespace fathom
