#include "aot/ahead_of_time.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

constexpr double kGiB = 1 << 30;

TEST(FiguresOf, ReadsWhatCompilersSayOfTooLargePrograms) {
  MemoryFigures now = figures_of(
      "E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO temporaries (286.10G) "
      "exceeds available HBM (95.73G). HLO module: m.");
  EXPECT_NEAR(static_cast<double>(now.needed), 286.10 * kGiB, 1);
  EXPECT_NEAR(static_cast<double>(now.available), 95.73 * kGiB, 1);
  MemoryFigures before = figures_of("Ran out of memory in memory space hbm. Used 900.5M of 0.25G hbm.");
  EXPECT_NEAR(static_cast<double>(before.needed), 900.5 * kGiB / 1024, 1);
  EXPECT_NEAR(static_cast<double>(before.available), 0.25 * kGiB, 1);
}

TEST(FiguresOf, GivesNothingForOtherWords) {
  EXPECT_EQ(figures_of("Out of memory while trying to allocate 12 bytes").needed, 0);
  EXPECT_EQ(figures_of("Used .G of .G").needed, 0);
  EXPECT_EQ(figures_of("Used 1e300T of 2G").needed, 0);
  EXPECT_EQ(figures_of("Used -1G of 2G").needed, 0);
}

TEST(FiguresOf, AnyLengthOfWordsIsReadInLittleStack) {
  const std::string digits(1'000'000, '1');
  EXPECT_EQ(figures_of("Used " + digits + "G of " + digits).needed, 0);
  EXPECT_EQ(figures_of(std::string(1'000'000, '(') + "3B) exceeds available HBM (2B)").needed, 3);
}

}  // namespace
}  // namespace fathom
