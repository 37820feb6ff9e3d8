#include "metrics/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/write_all.h"

namespace fathom {
namespace {

constexpr std::string_view kWipe = "\r\033[K";
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr int kBarColumns = 20;

int terminal_width(int descriptor) {
  constexpr int kUsual = 80;
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

}  // namespace

std::string progress_text(const ProgressState& state, int width) {
  double part = state.total > 0 ? static_cast<double>(state.done) / static_cast<double>(state.total) : 1;
  part = std::clamp(part, 0.0, 1.0);
  auto filled = static_cast<size_t>(part * kBarColumns);
  std::string out = fmt::format("step {}/{} [{}{}] {:3.0f}%  loss {:.3f}  {:.0f} tokens/s", state.done, state.total,
                                std::string(filled, '#'), std::string(kBarColumns - filled, '.'), 100 * part,
                                state.loss, state.tokens_per_second);
  if (state.seconds_left >= 0) {
    const int64_t seconds = std::llround(state.seconds_left);
    out += fmt::format("  {}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  if (width < static_cast<int>(out.size())) out.resize(static_cast<size_t>(std::max(width, 0)));
  return out;
}

ProgressBar::ProgressBar(int64_t first_step, int64_t total_steps, int error, int out)
    : error_(error),
      out_(out),
      terminal_(isatty(error) != 0),
      out_is_terminal_(isatty(out) != 0),
      state_{.done = first_step, .total = total_steps} {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(int64_t done, double loss, double tokens_per_second) {
  if (!terminal_) return;
  Clock::time_point now = Clock::now();
  if (began_at_ < 0) {
    began_at_ = done;
    began_ = now;
  }
  state_ = {.done = done, .total = state_.total, .loss = loss, .tokens_per_second = tokens_per_second};
  if (done > began_at_) {
    double seconds_a_step = seconds_between(began_, now) / static_cast<double>(done - began_at_);
    state_.seconds_left = seconds_a_step * static_cast<double>(std::max<int64_t>(state_.total - done, 0));
  }
  if (drawn_ && done < state_.total && now - last_draw_ < kRedraw) return;
  draw();
}

// The bar stands without a line break; one column less than the terminal has, so that the cursor does not wrap. A fault
// of the terminal is no reason to stop a run.
void ProgressBar::draw() {
  drawn_ = write_all(error_, std::string(kWipe) + progress_text(state_, terminal_width(error_) - 1));
  last_draw_ = Clock::now();
}

void ProgressBar::print(std::string_view line) {
  bool redraw = drawn_ && out_is_terminal_;
  if (redraw) clear();
  if (!write_all(out_, std::string(line) + "\n")) {
    throw RuntimeFault(std::string("cannot write to the standard output: ") + std::strerror(errno));
  }
  if (redraw) draw();
}

void ProgressBar::clear() {
  if (drawn_) write_all(error_, kWipe);
  drawn_ = false;
}

}  // namespace fathom
