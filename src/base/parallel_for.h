// A loop spread over the cores, for work of the host that no plugin's pool runs.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

// Calls task(0) ... task(count - 1), each once and in no order, on as many threads as this process has cores or a
// ThreadLimit allows, the calling one among them, and returns when all have ended. When tasks throw, no further ones
// are begun, and of the exceptions that of the lowest number is thrown here. Inside of a task it runs on that task's
// thread alone.
void parallel_for(int64_t count, const std::function<void(int64_t)>& task);

// The same on `threads` threads of the lowest priority, which take what others leave of the cores; the calling thread
// waits.
void parallel_for_in_background(int64_t count, int threads, const std::function<void(int64_t)>& task);

// While one lives, every parallel_for that begins in this process uses at most so many threads; 0: as many as there are
// cores. More than there are cores may be asked for. The limit before it comes back at the end.
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

// Threads that a parallel_for that begins now would use at most.
int parallel_threads();

}  // namespace fathom
