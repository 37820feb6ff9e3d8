// How the processes of a run leave after the same step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

namespace fathom {

// The largest wish of all processes for a step; 0: nobody wishes to stop.
using WishExchange = std::function<int32_t(int64_t step, int32_t own)>;

// A process that runs alone stops when it wishes to. Several learn each other's wishes from the results of the steps,
// which are the same for all, and leave when they see one. A wish is kDataEnded or of_signal().
class StopAgreement {
 public:
  // The least of all wishes; signals come above it.
  static constexpr int32_t kDataEnded = 1;
  // The wish that a signal is; 0 for none.
  static constexpr int32_t of_signal(int signal) { return signal == 0 ? 0 : kDataEnded + signal; }
  // The signal that a wish is; 0 when it is none.
  static constexpr int signal_of(int32_t wish) { return wish <= kDataEnded ? 0 : wish - kDataEnded; }

  // `exchange`, where there is one, takes the place of what the steps themselves carry.
  StopAgreement(bool alone, WishExchange exchange) : alone_(alone), exchange_(std::move(exchange)) {}

  bool alone() const { return alone_; }
  // From now on, if it is more than the wish before.
  void wish(int32_t what) { wish_ = std::max(wish_, what); }
  // What this process gives into the step that it is about to start.
  int32_t into_step(int64_t step) {
    if (exchange_) agreed_ = std::max(agreed_, exchange_(step, wish_));
    return wish_;
  }
  // `stop`: the largest wish that the results of a step carry.
  void out_of_step(int32_t stop) {
    if (!exchange_) agreed_ = std::max(agreed_, stop);
  }
  // The wish that all follow, or 0: no step is to be started any more.
  int32_t leaves() const { return alone_ ? wish_ : agreed_; }

 private:
  bool alone_;
  WishExchange exchange_;
  int32_t wish_ = 0;
  int32_t agreed_ = 0;
};

}  // namespace fathom
