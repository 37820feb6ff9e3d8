#include "base/stop_signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace fathom {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

static_assert(std::atomic<int>::is_always_lock_free);
std::atomic<int> received = 0;
std::atomic<bool> wished = false;  // a StopWish lives
struct sigaction before[std::size(kSignals)];

// What a handler may touch: no memory is allocated, nothing is locked. A slot is taken, filled, and only then `ready`.
struct Leftover {
  std::atomic<bool> taken = false, ready = false;
  char path[PATH_MAX] = {};
};
Leftover leftovers[16];

void say(std::string_view text) { [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size()); }

// Folders come after what lies in them: whoever makes a folder registers it first.
[[noreturn]] void leave(int signal) {
  for (size_t i = std::size(leftovers); i-- > 0;) {
    if (leftovers[i].ready && ::unlink(leftovers[i].path) != 0) ::rmdir(leftovers[i].path);
  }
  ::_exit(128 + signal);
}

// Only what is safe in a signal handler.
void on_signal(int signal) {
  const int saved = errno;
  int none = 0;
  if (!wished) {
    say("\nstopped by a signal\n");
    leave(signal);
  }
  if (!received.compare_exchange_strong(none, signal)) {
    say("\nstopped at once: the step under way is lost\n");
    leave(signal);
  }
  say("\nstopping after this step; the same again stops at once\n");
  errno = saved;
}

// Installs the handler and keeps the earlier ones in `old`, which may be null.
void install(struct sigaction* old) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    struct sigaction earlier {};
    sigaction(kSignals[i], nullptr, &earlier);
    if (old != nullptr) old[i] = earlier;
    if (kSignals[i] == SIGHUP && earlier.sa_handler == SIG_IGN) continue;
    sigaction(kSignals[i], &action, nullptr);
  }
}

}  // namespace

void watch_stop_signals() { install(nullptr); }

StopWish::StopWish() {
  if (wished.exchange(true)) throw std::logic_error("StopWish: another object watches the signals");
  received = 0;
  install(before);
}

StopWish::~StopWish() {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before[i], nullptr);
  wished = false;
}

int StopWish::signal() const { return received; }

RemovedOnStop::RemovedOnStop(const std::string& path) : slot_(-1) {
  if (path.size() >= PATH_MAX) return;
  for (size_t i = 0; i < std::size(leftovers) && slot_ < 0; ++i) {
    if (!leftovers[i].taken.exchange(true)) slot_ = static_cast<int>(i);
  }
  if (slot_ < 0) return;
  Leftover& slot = leftovers[slot_];
  std::memcpy(slot.path, path.c_str(), path.size() + 1);
  slot.ready = true;
}

RemovedOnStop::~RemovedOnStop() {
  if (slot_ < 0) return;
  leftovers[slot_].ready = false;
  leftovers[slot_].taken = false;
}

}  // namespace fathom
