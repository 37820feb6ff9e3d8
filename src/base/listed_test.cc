#include "base/listed.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace fathom {
namespace {

TEST(Listed, NamesAllUpToTheLimitAndCountsTheOthers) {
  EXPECT_EQ(listed(std::vector<int>{}, 2), "");
  EXPECT_EQ(listed(std::vector<int>{1, 2}, 2), "1, 2");
  EXPECT_EQ(listed(std::set<std::string>{"a", "b", "c", "d"}, 3), "a, b, c and 1 more");
}

}  // namespace
}  // namespace fathom
