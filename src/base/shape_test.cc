#include "base/shape.h"

#include <gmock/gmock.h>

#include <stdexcept>

namespace fathom {
namespace {

TEST(Shape, NamesAxesInItsText) {
  Shape s{{"b", 2}, {"s", 16}};
  EXPECT_EQ(s.to_string(), "[b=2 s=16]");
  EXPECT_EQ(s.elements(), 32);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((TensorType{DType::kBF16, s}).to_string(), "bf16[b=2 s=16]");
}

TEST(Shape, RefusesADuplicateNameAndAMissingAxis) {
  EXPECT_THROW(Shape({{"b", 2}, {"b", 3}}), std::invalid_argument);
  Shape s{{"b", 2}};
  EXPECT_THROW(s.size("q"), std::invalid_argument);
  EXPECT_EQ(s.find("q"), -1);
}

TEST(SplitNames, IgnoresRepeatedSpaces) {
  EXPECT_THAT(split_names("  b  s d "), testing::ElementsAre("b", "s", "d"));
  EXPECT_TRUE(split_names("").empty());
}

}  // namespace
}  // namespace fathom
