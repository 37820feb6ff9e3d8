#include "base/json_text.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

TEST(DeepJson, BracketsInStringsOpenNothing) {
  EXPECT_EQ(find_deep_json(R"({"a[[[{": ["]\"[[[", {}]})", 3), std::string::npos);
  EXPECT_EQ(find_deep_json(R"([[], [[]], {"a": []}])", 3), std::string::npos);
  EXPECT_EQ(find_deep_json(R"([[], [[]], {"a": []}])", 2), 6u);
  EXPECT_EQ(find_deep_json(std::string(1000, '[')), 100u);
  EXPECT_EQ(find_deep_json("\"\\"), std::string::npos);
  EXPECT_EQ(find_deep_json("]]]["), std::string::npos);
}

}  // namespace
}  // namespace fathom
