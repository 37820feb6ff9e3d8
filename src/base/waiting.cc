#include "base/waiting.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace fathom {

Waiting::Waiting(std::string what) : what_(std::move(what)) {
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    // No thread to be had: the wait stays silent.
  }
}

Waiting::~Waiting() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ends_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Waiting::watch() {
  constexpr double kFirst = 3, kLongest = 60;  // seconds
  double pause = kFirst;
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, std::chrono::duration<double>(pause), [this] { return ended_; })) {
    log_info("{}: {:.0f} s so far", what_, since_.seconds());
    pause = std::clamp(since_.seconds() / 2, kFirst, kLongest);
  }
}

}  // namespace fathom
