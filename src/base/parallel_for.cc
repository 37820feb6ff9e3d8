#include "base/parallel_for.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace fathom {
namespace {

// Whether this thread runs a task of a loop: all cores are at work then.
thread_local bool inside_loop = false;

class Loop {
 public:
  Loop(int64_t count, const std::function<void(int64_t)>& task) : count_(count), task_(task), failed_(count) {}

  void take_all() {
    const bool was_inside = std::exchange(inside_loop, inside_loop || count_ > 1);
    for (int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) {
      try {
        task_(i);
      } catch (...) {
        next_ = count_;
        std::lock_guard lock(mutex_);
        if (i < failed_) fault_ = std::current_exception();
        failed_ = std::min(failed_, i);
      }
    }
    inside_loop = was_inside;
  }
  void rethrow() const {
    if (fault_) std::rethrow_exception(fault_);
  }

 private:
  const int64_t count_;
  const std::function<void(int64_t)>& task_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  int64_t failed_;
  std::exception_ptr fault_;
};

std::atomic<int> limit = 0;  // 0: the cores
constexpr int kLowestPriority = 19;

}  // namespace

ThreadLimit::ThreadLimit(int threads) : before_(limit.exchange(threads)) {}

ThreadLimit::~ThreadLimit() { limit = before_; }

int parallel_threads() {
  const int asked = limit;
  return asked > 0 ? asked : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(int64_t count, const std::function<void(int64_t)>& task) {
  Loop loop(count, task);
  if (inside_loop) {
    loop.take_all();
    return loop.rethrow();
  }
  {
    std::vector<std::jthread> helpers;
    const int64_t threads = std::min<int64_t>(parallel_threads(), count);
    try {
      for (int64_t i = 1; i < threads; ++i) helpers.emplace_back([&] { loop.take_all(); });
    } catch (const std::system_error&) {
      // No further thread to be had: those that are there do the work.
    }
    loop.take_all();
  }
  loop.rethrow();
}

void parallel_for_in_background(int64_t count, int threads, const std::function<void(int64_t)>& task) {
  Loop loop(count, task);
  {
    std::vector<std::jthread> helpers;
    for (int64_t i = 0; i < std::min<int64_t>(threads, count); ++i) {
      helpers.emplace_back([&] {
        // Of this thread alone, as Linux has it.
        ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kLowestPriority);
        loop.take_all();
      });
    }
  }
  loop.rethrow();
}

}  // namespace fathom
