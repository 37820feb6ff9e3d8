#include "eval/json_matrix.h"

#include <gmock/gmock.h>

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsNan;
using testing::ThrowsMessage;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(FindMatrix, ReadsNumbersAsTheyAreWritten) {
  const std::string_view text = R"( {"a": 1, "m" : [[0.1, -2e-3 ],[3E+2,4] ] , "z": []})";
  const JsonMatrix m = find_matrix(text, "m").value();
  EXPECT_THAT(m.values.sizes(), ElementsAre(2, 2));
  EXPECT_THAT(m.values.view<float>(), ElementsAre(0.1f, -2e-3f, 300, 4));
  EXPECT_EQ(m.text, " [[0.1, -2e-3 ],[3E+2,4] ]");
}

TEST(FindMatrix, WhatIsNoFloatIsInfiniteZeroOrNaN) {
  const JsonMatrix m = find_matrix(R"({"m": [[NaN, Infinity, -Infinity, 1e400, -1e39, 1e-60]]})", "m").value();
  EXPECT_THAT(m.values.view<float>(), ElementsAre(IsNan(), kInfinity, -kInfinity, kInfinity, -kInfinity, 0));
}

TEST(FindMatrix, TheKeyIsOneOfTheOutermostObject) {
  EXPECT_FALSE(find_matrix(R"({"a": "m", "b": {"m": [[1]]}, "c": ["m", "\"m\":"]})", "m"));
  EXPECT_EQ(find_matrix(R"({"b": {"m": [[1]]}, "say \"m\": [[3]]": 0, "m": [[2]]})", "m")->values.view<float>()[0], 2);
  EXPECT_FALSE(find_matrix("", "m"));
  EXPECT_FALSE(find_matrix("{\"m", "m"));
  EXPECT_FALSE(find_matrix("{\"m\\", "m"));
}

TEST(FindMatrix, RowsOfDifferentLengthsAreNoMatrix) {
  EXPECT_THAT(find_matrix(R"({"m": [[1, 2], [3]]})", "m")->values.sizes(), ElementsAre(3));
  EXPECT_THAT(find_matrix(R"({"m": [[1], [2, 3]]})", "m")->values.sizes(), ElementsAre(3));
  EXPECT_THAT(find_matrix(R"({"m": []})", "m")->values.sizes(), ElementsAre(0, 0));
  EXPECT_THAT(find_matrix(R"({"m": [[], []]})", "m")->values.sizes(), ElementsAre(2, 0));
}

TEST(FindMatrix, AnythingElseIsRefusedWithItsPlace) {
  for (const char* text : {"1", "[1]", "[[1 2]]", "[[1,]]", "[[\"1\"]]", "[[null]]", "[[1]", "[[1", "[", "", "[[1]}"}) {
    const std::string object = std::string("{\"m\":") + text;
    EXPECT_THAT([&] { find_matrix(object, "m"); }, ThrowsMessage<NoMatrix>(HasSubstr("expected "))) << text;
  }
  EXPECT_THAT([] { find_matrix(R"({"m": [[1, x]]})", "m"); },
              ThrowsMessage<NoMatrix>("expected a number at column 12"));
}

}  // namespace
}  // namespace fathom
