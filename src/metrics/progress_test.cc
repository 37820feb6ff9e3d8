#include "metrics/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::string_view kWipe = "\r\033[K";

// A terminal without a person.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) : main_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (main_ < 0 || grantpt(main_) != 0 || unlockpt(main_) != 0) throw std::runtime_error("no pseudo-terminal");
    end_ = open(ptsname(main_), O_RDWR | O_NOCTTY);
    winsize size = {.ws_row = 24, .ws_col = columns};
    ioctl(end_, TIOCSWINSZ, &size);
  }
  ~Terminal() {
    close(end_);
    close(main_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int descriptor() const { return end_; }
  // What was written since the last call. The kernel hands it over in its own time, so a mark is written behind it and
  // everything up to the mark is read.
  std::string screen() const {
    constexpr char kMark = '\x04';
    if (write(end_, &kMark, 1) != 1) throw std::runtime_error("cannot write to the pseudo-terminal");
    std::string out;
    for (char c; read(main_, &c, 1) == 1 && c != kMark;) out += c;
    return out;
  }

 private:
  int main_;
  int end_;
};

TEST(Progress, TextHasStepsLossSpeedAndTime) {
  ProgressState state{.done = 25, .total = 100, .loss = 5.1234, .tokens_per_second = 1234.4, .seconds_left = 3754.6};
  EXPECT_EQ(progress_text(state, 100),
            "step 25/100 [#####...............]  25%  loss 5.123  1234 tokens/s  1:02:35 left");
  state.seconds_left = -1;
  EXPECT_EQ(progress_text(state, 100), "step 25/100 [#####...............]  25%  loss 5.123  1234 tokens/s");
  EXPECT_EQ(progress_text(state, 11), "step 25/100");
  EXPECT_EQ(progress_text(state, -1), "");
  EXPECT_THAT(progress_text({.done = 7, .total = 0}, 80), HasSubstr("[####################] 100%"));
}

TEST(Progress, FileGetsTheLinesAndNoBar) {
  TemporaryFolder folder;
  std::string path = folder / "err";
  int file = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  {
    ProgressBar bar(0, 10, file, file);
    bar.update(1, 5, 100);
    bar.print("line");
    bar.update(10, 5, 100);
  }
  close(file);
  EXPECT_EQ(read_file(path), "line\n");
}

TEST(Progress, BarIsDrawnInPlaceAndWiped) {
  Terminal terminal(40);
  {
    ProgressBar bar(0, 2, terminal.descriptor(), terminal.descriptor());
    EXPECT_THAT(terminal.screen(), IsEmpty());
    bar.update(1, 5, 100);
    EXPECT_EQ(terminal.screen(), std::string(kWipe) + progress_text({.done = 1, .total = 2, .loss = 5}, 39));
    bar.update(2, 5, 100);
    EXPECT_THAT(terminal.screen(), StartsWith(std::string(kWipe) + "step 2/2"));
  }
  EXPECT_EQ(terminal.screen(), kWipe);
}

TEST(Progress, LineStandsAboveTheBar) {
  Terminal terminal(80);
  ProgressBar bar(0, 10, terminal.descriptor(), terminal.descriptor());
  bar.print("first");
  EXPECT_EQ(terminal.screen(), "first\r\n");
  bar.update(1, 5, 100);
  std::string drawn = terminal.screen();
  bar.print("second");
  EXPECT_EQ(terminal.screen(), std::string(kWipe) + "second\r\n" + drawn);
}

TEST(Progress, FastStepsDoNotFloodTheTerminal) {
  Terminal terminal(80);
  ProgressBar bar(0, 100000, terminal.descriptor(), terminal.descriptor());
  for (int step = 1; step < 1000; ++step) bar.update(step, 5, 100);
  EXPECT_LT(terminal.screen().size(), 1000u);
}

TEST(Progress, TimeLeftComesFromTheStepsAfterTheFirst) {
  Terminal terminal(100);
  ProgressBar bar(50, 53, terminal.descriptor(), terminal.descriptor());
  bar.update(51, 5, 100);
  EXPECT_THAT(terminal.screen(), testing::Not(HasSubstr("left")));
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  bar.update(52, 5, 100);
  EXPECT_THAT(terminal.screen(), HasSubstr("0:00:00 left"));
}

TEST(Progress, ClosedOutputIsAFault) {
  ProgressBar bar(0, 1, -1, -1);
  bar.update(1, 5, 100);
  EXPECT_THROW(bar.print("line"), RuntimeFault);
}

}  // namespace
}  // namespace fathom
