#include "drive/step_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"

namespace fathom {
namespace {

constexpr size_t kFewest = 5, kMost = 21;  // steps whose median counts
constexpr double kTimes = 10;

}  // namespace

void StepClock::ended(double seconds) {
  seconds_.push_back(seconds);
  if (seconds_.size() > kMost) seconds_.pop_front();
}

void StepClock::expect(int64_t step, Clock::time_point since) {
  if (step < step_) return;
  step_ = step;
  since_ = since;
  awaited_ = true;
}

double StepClock::usual() const {
  std::vector<double> sorted(seconds_.begin(), seconds_.end());
  auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

std::optional<Clock::time_point> StepClock::deadline() const {
  if (!awaited_ || told_ == step_ || seconds_.size() < kFewest) return std::nullopt;
  const std::chrono::duration<double> longest(std::max(kTimes * usual(), least_));
  return since_ + std::chrono::duration_cast<Clock::duration>(longest);
}

std::string StepClock::warning(Clock::time_point now) {
  told_ = step_;
  return fmt::format(
      "step {} has taken {:.3g} s so far, more than ten times the usual {:.3g} s: waiting for the device or for data",
      step_, seconds_between(since_, now), usual());
}

StepWatch::StepWatch(Options options) : warn_(std::move(options.warn)), clock_(options.least) {
  if (!warn_) warn_ = [](const std::string& text) { log_warning("{}", text); };
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    // No thread to be had: nothing is watched.
  }
}

StepWatch::~StepWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changes_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StepWatch::ended(double seconds) {
  const std::lock_guard lock(mutex_);
  clock_.ended(seconds);
}

void StepWatch::expect(int64_t step, Clock::time_point since) {
  {
    const std::lock_guard lock(mutex_);
    clock_.expect(step, since);
  }
  changes_.notify_all();
}

void StepWatch::pause() {
  const std::lock_guard lock(mutex_);
  clock_.pause();
}

void StepWatch::watch() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    const std::optional<Clock::time_point> deadline = clock_.deadline();
    const Clock::time_point now = Clock::now();
    if (!deadline) {
      changes_.wait(lock);
    } else if (now < *deadline) {
      changes_.wait_until(lock, *deadline);
    } else {
      const std::string text = clock_.warning(now);
      lock.unlock();
      warn_(text);
      lock.lock();
    }
  }
}

}  // namespace fathom
