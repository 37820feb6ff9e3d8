#include "convert/conversion.h"

#include <gmock/gmock.h>

#include <limits>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::ThrowsMessage;

TEST(ConversionText, SaysBytesRateAndTimeLeft) {
  EXPECT_EQ(conversion_text({1'200'000'000, 4'800'000'000, 6e8, 3726.4}), "1.20 of 4.80 GB, 0.60 GB/s, 1:02:06 left");
  EXPECT_EQ(conversion_text({.done = 10'000'000}), "0.01 GB, 0.00 GB/s");
}

// A restart would otherwise promise an end that the disk does not keep.
TEST(ConversionProgress, WhatWasThereIsDoneButNoPartOfTheRate) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  ConversionProgress progress("convert", 1000);
  progress.keep(600);
  EXPECT_EQ(progress.state().bytes_per_second, 0);
  EXPECT_LT(progress.state().seconds_left, 0);
  progress.add(100);
  const ConversionState state = progress.state();
  EXPECT_EQ(state.done, 700);
  EXPECT_GT(state.seconds_left, 0);
  progress.finish();
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              MatchesRegex("convert: 100 bytes read and written in [0-9.]+ s, [0-9.]+ GB/s, peak memory [0-9.]+ GB\n"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("convert: 0.00 GB were there already and stay"));
}

TEST(FreeSpace, BothNumbersAreSaidBeforeTheWork) {
  TemporaryFolder folder;
  EXPECT_NO_THROW(require_free_space(folder / "not/there/yet", 1000));
  EXPECT_THAT([&] { require_free_space(folder / "out", int64_t{1} << 60); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr(folder / "out"), HasSubstr("(1152921504606846976 bytes) are"),
                                               HasSubstr("but only"), HasSubstr("are free"))));
  EXPECT_NO_THROW(require_free_space("gs://bucket/out", std::numeric_limits<int64_t>::max()));
}

TEST(PeakMemory, CountsWhatWasHeldAndGivenBack) {
  const int64_t before = peak_memory_bytes();
  EXPECT_GT(before, 0);
  constexpr size_t kBytes = size_t{64} << 20;
  { std::vector<char> held(kBytes, 1); }
  EXPECT_GE(peak_memory_bytes(), before);
  EXPECT_GT(peak_memory_bytes(), static_cast<int64_t>(kBytes));
}

}  // namespace
}  // namespace fathom
