// Memory that threads share.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace fathom {

// A task takes what it needs before it allocates, and waits while others hold too much. One that needs more than there
// is runs alone.
class ByteBudget {
 public:
  explicit ByteBudget(int64_t bytes) : bytes_(bytes) {}

  class Share {
   public:
    Share(ByteBudget& budget, int64_t bytes) : budget_(budget), bytes_(bytes) { budget_.take(bytes_); }
    ~Share() { budget_.give(bytes_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    ByteBudget& budget_;
    int64_t bytes_;
  };

 private:
  void take(int64_t bytes) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return held_ == 0 || held_ + bytes <= bytes_; });
    held_ += bytes;
  }
  void give(int64_t bytes) {
    std::lock_guard lock(mutex_);
    held_ -= bytes;
    freed_.notify_all();
  }

  const int64_t bytes_;
  std::mutex mutex_;
  std::condition_variable freed_;
  int64_t held_ = 0;
};

}  // namespace fathom
