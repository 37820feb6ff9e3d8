// The next batches, prepared on a thread while the device works on the present one.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "data/batch.h"

namespace fathom {

// A stream that reads another one ahead. Its state is that after the last batch it has given, however far the reading
// is. What the inner stream throws, next() throws, at the batch where it happened and from then on.
class Prefetcher final : public BatchStream {
 public:
  // Holds at most `depth` batches ready.
  explicit Prefetcher(std::unique_ptr<BatchStream> stream, size_t depth = 2);
  // Waits for the batch that is being prepared, not for more.
  ~Prefetcher() override;
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  std::optional<Batch> next() override;
  DataState state() const override { return state_; }
  void restore(const DataState& state) override;
  std::string end_message() const override;

 private:
  struct Ready {
    std::optional<Batch> batch;  // nothing at the end of the data
    DataState state;
    std::exception_ptr fault;
    bool last() const { return !batch; }
  };

  void start();
  void stop();
  void read_ahead() noexcept;
  Ready read_one() noexcept;

  std::unique_ptr<BatchStream> stream_;  // the thread's while it runs
  size_t depth_;
  DataState state_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ready> ready_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fathom
