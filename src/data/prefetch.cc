#include "data/prefetch.h"

namespace fathom {

Prefetcher::Prefetcher(std::unique_ptr<BatchStream> stream, size_t depth)
    : stream_(std::move(stream)), depth_(depth), state_(stream_->state()) {
  start();
}

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::start() {
  stopping_ = false;
  ready_.clear();
  thread_ = std::thread([this] { read_ahead(); });
}

void Prefetcher::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Prefetcher::Ready Prefetcher::read_one() noexcept {
  Ready ready;
  try {
    ready.batch = stream_->next();
    ready.state = stream_->state();
  } catch (...) {
    ready.batch.reset();
    ready.fault = std::current_exception();
  }
  return ready;
}

void Prefetcher::read_ahead() noexcept {
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || ready_.size() < depth_; });
      if (stopping_) return;
    }
    Ready ready = read_one();
    last = ready.last();
    {
      std::lock_guard lock(mutex_);
      ready_.push_back(std::move(ready));
    }
    changed_.notify_all();
  }
}

std::optional<Batch> Prefetcher::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  if (ready_.front().last()) {  // stays, so that each later call sees it too
    if (ready_.front().fault) std::rethrow_exception(ready_.front().fault);
    return std::nullopt;
  }
  Ready ready = std::move(ready_.front());
  ready_.pop_front();
  state_ = ready.state;
  lock.unlock();
  changed_.notify_all();
  return std::move(ready.batch);
}

void Prefetcher::restore(const DataState& state) {
  stop();
  stream_->restore(state);
  state_ = stream_->state();
  start();
}

std::string Prefetcher::end_message() const {
  // The end has been read, so the thread has finished with the stream.
  return stream_->end_message();
}

}  // namespace fathom
