#include "base/hardware.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Hardware, EveryNameIsReadBackAndNoOtherWord) {
  EXPECT_EQ(name(Hardware::kCpu), "cpu");
  EXPECT_EQ(name(Hardware::kGpu), "gpu");
  for (Hardware hardware : {Hardware::kCpu, Hardware::kTpu, Hardware::kGpu}) {
    EXPECT_EQ(parse_hardware(name(hardware)), hardware);
  }
  EXPECT_EQ(parse_hardware("CPU"), std::nullopt);
  EXPECT_EQ(parse_hardware("cuda"), std::nullopt);
  EXPECT_EQ(parse_hardware(""), std::nullopt);
}

}  // namespace
}  // namespace fathom
