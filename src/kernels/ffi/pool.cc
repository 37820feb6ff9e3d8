#include "kernels/ffi/pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>

namespace fathom {
namespace {

// Outlives run(): a pool thread that starts late finds no task left and drops its share.
struct Work {
  Work(int64_t count, const std::function<void(int64_t)>& task, const void* caller)
      : count(count), task(&task), caller(caller) {}

  void take_all() {
    // A profile finds whose work this is by a pointer on the stack to the caller's (profile/sampler.h).
    const void* volatile profiled = caller;
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
  const void* const caller;                  // run()'s place on its stack
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::mutex mutex;
  std::exception_ptr fault;  // of a task, whichever thread it was on
};

}  // namespace

void PluginPool::run(int64_t count, const std::function<void(int64_t)>& task) {
  int64_t helpers = std::min(pool_.num_threads(), count) - 1;
  if (helpers <= 0) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  auto work = std::make_shared<Work>(count, task, __builtin_frame_address(0));
  for (int64_t i = 0; i < helpers; ++i) pool_.Schedule([work] { work->take_all(); });
  work->take_all();
  // Only tasks that a pool thread has begun can be open now.
  for (int64_t done = work->done.load(); done < count; done = work->done.load()) work->done.wait(done);
  if (work->fault) std::rethrow_exception(work->fault);
}

}  // namespace fathom
