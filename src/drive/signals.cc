#include "drive/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <string_view>

namespace fathom {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

static_assert(std::atomic<int>::is_always_lock_free);
std::atomic<int> received = 0;
std::atomic<bool> installed = false;
struct sigaction before[std::size(kSignals)];

// Only what is safe in a signal handler.
void on_signal(int signal) {
  int saved = errno;
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) {
    // The signal is blocked while its handler runs: it is delivered, with its own effect, when the handler returns.
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    errno = saved;
    return;
  }
  constexpr std::string_view kNote = "\nstopping after this step; the same again stops at once\n";
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, kNote.data(), kNote.size());
  errno = saved;
}

}  // namespace

StopSignals::StopSignals() {
  if (installed.exchange(true)) throw std::logic_error("StopSignals: another object watches the signals");
  received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &before[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before[i], nullptr);
  installed = false;
}

int StopSignals::stop_requested() const { return received; }

}  // namespace fathom
