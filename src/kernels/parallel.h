// How a kernel spreads its work: tasks that may run in any order on any thread, and do not depend on how many there
// are.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

class Parallel {
 public:
  virtual ~Parallel() = default;
  // Calls task(0) ... task(count - 1), each once, and returns when all are done. The calling thread works too.
  virtual void run(int64_t count, const std::function<void(int64_t)>& task) = 0;
};

// Everything on the calling thread.
class Serial : public Parallel {
 public:
  void run(int64_t count, const std::function<void(int64_t)>& task) override {
    for (int64_t i = 0; i < count; ++i) task(i);
  }
};

}  // namespace fathom
