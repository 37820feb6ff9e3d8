#include "kernels/ffi/pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>

#include "kernels/ffi/handlers.h"

namespace fathom {
namespace {

std::atomic<CallProbe> call_probe{nullptr};

// Outlives run(): a pool thread that starts late finds no task left and drops its share.
struct Work {
  Work(int64_t count, const std::function<void(int64_t)>& task, uint64_t call)
      : count(count), task(&task), call(call) {}

  void take_all() {
    // A profiler finds it on the stack.
    const volatile uint64_t profiled = call;
    static_cast<void>(profiled);
    for (int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      try {
        (*task)(i);
      } catch (...) {
        std::lock_guard lock(mutex);
        fault = std::current_exception();
      }
      if (done.fetch_add(1) + 1 == count) done.notify_all();
    }
  }

  const int64_t count;
  const std::function<void(int64_t)>* task;  // valid while tasks are left
  const uint64_t call;                       // what it is done for, as the probe says
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::mutex mutex;
  std::exception_ptr fault;  // of a task, whichever thread it was on
};

}  // namespace

void set_call_probe(CallProbe probe) { call_probe.store(probe); }

void PluginPool::run(int64_t count, const std::function<void(int64_t)>& task) {
  int64_t helpers = std::min(pool_.num_threads(), count) - 1;
  if (helpers <= 0) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  CallProbe probe = call_probe.load(std::memory_order_relaxed);
  auto work = std::make_shared<Work>(count, task, probe != nullptr ? probe() : 0);
  for (int64_t i = 0; i < helpers; ++i) pool_.Schedule([work] { work->take_all(); });
  work->take_all();
  // Only tasks that a pool thread has begun can be open now.
  for (int64_t done = work->done.load(); done < count; done = work->done.load()) work->done.wait(done);
  if (work->fault) std::rethrow_exception(work->fault);
}

}  // namespace fathom
