#include "eval/logit_check.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// [n v]
HostArray logits(const std::vector<std::vector<float>>& rows) {
  HostArray out = HostArray::allocate(DType::kF32, {std::ssize(rows), std::ssize(rows[0])});
  size_t at = 0;
  for (const auto& row : rows) {
    for (float x : row) out.mutable_view<float>()[at++] = x;
  }
  return out;
}

HostArray log_of(std::vector<float> probabilities, float shift = 0) {
  for (float& p : probabilities) p = std::log(p) + shift;
  return logits({probabilities});
}

const LogitCriteria kDivergence{.max_kl_div = 1e-4};

std::string said(const PromptAgreement& prompt, const LogitCriteria& criteria) {
  const LogitVerdict verdict = judge_logits(std::vector{prompt}, criteria);
  EXPECT_EQ(verdict.passed, verdict.text == "PASS") << verdict.text;
  return verdict.text;
}

TEST(Agreement, DivergenceIsThatOfTheGoldenFromTheModelsProbabilities) {
  const HostArray golden = log_of({0.5f, 0.25f, 0.25f}), got = log_of({0.25f, 0.25f, 0.5f}, 3);
  const double want = 0.5 * std::log(2) - 0.25 * std::log(2);
  EXPECT_NEAR(agreement(got, golden, kDivergence).kl.value, want, 1e-6);
  const HostArray skewed = log_of({0.9f, 0.05f, 0.05f});
  const double there = 0.5 * std::log(0.5 / 0.9) + 0.5 * std::log(0.25 / 0.05);
  const double back = 0.9 * std::log(0.9 / 0.5) + 0.1 * std::log(0.05 / 0.25);
  EXPECT_NEAR(agreement(skewed, golden, kDivergence).kl.value, there, 1e-6);
  EXPECT_NEAR(agreement(golden, skewed, kDivergence).kl.value, back, 1e-6) << "it is not symmetric";
}

TEST(Agreement, AConstantInAllLogitsIsNoDivergenceButADifference) {
  const LogitCriteria both{.max_kl_div = 1e-4, .atol = 0.1};
  const PromptAgreement shifted = agreement(log_of({0.5f, 0.5f}, 100), log_of({0.5f, 0.5f}), both);
  EXPECT_NEAR(shifted.kl.value, 0, 1e-9);
  EXPECT_NEAR(shifted.difference.value, 100, 1e-5);
  EXPECT_THAT(said(shifted, both), testing::StartsWith("FAIL: a logit 99.9 beyond atol"));
  EXPECT_EQ(said(shifted, kDivergence), "PASS");
}

TEST(Agreement, TheWorstTokenAndPromptAreNamed) {
  const HostArray golden = logits({{1, 2}, {1, 2}, {1, 2}});
  const PromptAgreement same = agreement(golden, golden, kDivergence);
  const PromptAgreement other = agreement(logits({{1, 2}, {1, 2.4f}, {1, 2.2f}}), golden, kDivergence);
  EXPECT_EQ(other.kl.token, 1);
  const LogitVerdict verdict = judge_logits(std::vector{same, other, same}, kDivergence);
  EXPECT_FALSE(verdict.passed);
  EXPECT_THAT(verdict.text, testing::MatchesRegex("FAIL: max KL 0\\.0[0-9]+ at prompt 1, token 1"));
  EXPECT_EQ(said(same, {.max_kl_div = 0}), "FAIL: max KL 0 at prompt 0, token 0") << "less, not equal";
}

TEST(Agreement, NumbersThatAreNotFiniteFailEveryCriterion) {
  const HostArray fine = logits({{1, 2, 3}, {1, 2, 3}, {1, 2, 3}});
  const LogitCriteria wide{.atol = 1e9};
  for (float bad : {kNan, kInfinity, -kInfinity}) {
    const HostArray broken = logits({{1, 2, 3}, {1, bad, 3}, {1, 2, 9}});
    for (const auto& [got, golden] : {std::pair(broken, fine), std::pair(fine, broken), std::pair(broken, broken)}) {
      EXPECT_EQ(said(agreement(got, golden, {.max_kl_div = 1e9}), {.max_kl_div = 1e9}),
                "FAIL: max KL nan at prompt 0, token 1");
      EXPECT_THAT(said(agreement(got, golden, wide), wide), HasSubstr("nan beyond atol"));
    }
  }
  // Of several prompts as well.
  const PromptAgreement good = agreement(fine, fine, kDivergence);
  const PromptAgreement bad = agreement(logits({{kNan, 2, 3}, {1, 2, 3}, {1, 2, 3}}), fine, kDivergence);
  EXPECT_FALSE(judge_logits(std::vector{good, bad, good}, kDivergence).passed);
}

TEST(Agreement, ToleranceIsAbsoluteAndRelativeToTheGoldenNumber) {
  const HostArray golden = logits({{100, -1}});
  const LogitCriteria criteria{.atol = 0.5, .rtol = 0.01};
  EXPECT_EQ(said(agreement(logits({{101.4f, -1.4f}}), golden, criteria), criteria), "PASS");
  EXPECT_NE(said(agreement(logits({{101.6f, -1}}), golden, criteria), criteria), "PASS");
  EXPECT_NE(said(agreement(logits({{100, -1.6f}}), golden, criteria), criteria), "PASS");
}

TEST(Agreement, OnlyTheTokensThatAreAskedForAreCompared) {
  const HostArray golden = logits({{1, 2}, {1, 2}, {1, 2}}), got = logits({{5, 2}, {1, 2}, {1, 7}});
  auto fails = [&](const LogitCriteria& criteria) {
    return !judge_logits(std::vector{agreement(got, golden, criteria)}, criteria).passed;
  };
  EXPECT_TRUE(fails({.max_kl_div = 1e-4, .skip_first_token = true}));
  EXPECT_TRUE(fails({.max_kl_div = 1e-4, .token_size = 2}));
  const LogitCriteria middle{.max_kl_div = 1e-4, .atol = 0, .token_size = 2, .skip_first_token = true};
  EXPECT_FALSE(fails(middle));
  EXPECT_EQ(agreement(got, golden, middle).tokens, 1);
  EXPECT_EQ(agreement(got, golden, {.max_kl_div = 1, .token_size = 9}).tokens, 3);
}

TEST(Agreement, ClippingRaisesSmallProbabilitiesOfBoth) {
  // exp(-60) of the golden one's mass, exp(-90) of the model's: nothing; without it 1e-3 of the other way round.
  const HostArray golden = logits({{0, -1, -60}}), got = logits({{0, -1, -90}});
  EXPECT_EQ(agreement(got, golden, {.max_kl_div = 1, .clip_epsilon = 1e-6}).kl.value, 0);
  const HostArray present = logits({{0, -1, -7}}), vanished = logits({{0, -1, -90}});
  const double plain = agreement(vanished, present, {.max_kl_div = 1}).kl.value;
  const double clipped = agreement(vanished, present, {.max_kl_div = 1, .clip_epsilon = 1e-5}).kl.value;
  EXPECT_GT(plain, 0.05);
  EXPECT_LT(clipped, plain / 5);
  EXPECT_GT(clipped, 0);
}

TEST(Agreement, TheLikeliestTokensOfTheLastPositionAreCounted) {
  std::vector<float> up, down;
  for (int i = 0; i < 15; ++i) {
    up.push_back(static_cast<float>(i));
    down.push_back(static_cast<float>(-i));
  }
  const PromptAgreement opposite = agreement(logits({up, up}), logits({up, down}), kDivergence);
  EXPECT_EQ(opposite.common_top, 5) << "5 to 14 and 0 to 9";
  EXPECT_EQ(opposite.top, 10);
  const PromptAgreement small = agreement(logits({{1, 2}}), logits({{2, 1}}), kDivergence);
  EXPECT_THAT(describe(small), testing::EndsWith("top2 2/2"));
  EXPECT_THAT(describe(small), testing::StartsWith("tokens 1, max_kl 0."));
}

LogitsReference prompt(int64_t tokens) {
  return {{"g.jsonl:4", std::vector<int32_t>(static_cast<size_t>(tokens), 1)},
          HostArray::allocate(DType::kF32, {tokens, 2})};
}

TEST(CheckPrompts, NamesLineAndBothNumbers) {
  EXPECT_NO_THROW(check_prompts({prompt(4)}, kDivergence, 4));
  EXPECT_THAT([] { check_prompts({prompt(5)}, kDivergence, 4); },
              ThrowsMessage<ConfigError>(HasSubstr("g.jsonl:4: a prompt of 5 tokens is longer than "
                                                   "max_target_length=4")));
  EXPECT_THAT([] { check_prompts({prompt(1)}, {.max_kl_div = 1, .skip_first_token = true}, 4); },
              ThrowsMessage<ConfigError>(HasSubstr("g.jsonl:4: --skip_first_token leaves no token")));
}

TEST(GoldenLine, IsReadBackAsItWas) {
  TemporaryFolder folder;
  const std::vector<float> numbers = {0.1f, -1e-30f, 3.4e38f, 1.f / 3, -0.f, 5};
  const HostArray two = logits({numbers, {1, 2, 3, 4, 5, kNan}});
  const std::string text = "quotes \" and \\ and 你好\n";
  const std::string path =
      folder.write("g.jsonl", golden_line(text, {7, 0}, two) + golden_line("", {1}, logits({{1}})));
  const auto lines = read_golden_logits(path, path);
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0].prompt, text);
  EXPECT_THAT(lines[0].row.tokens, ElementsAre(7, 0));
  EXPECT_THAT(lines[0].logits.view<float>().first(6), ElementsAreArray(numbers));
  EXPECT_TRUE(std::isnan(lines[0].logits.view<float>()[11]));
  EXPECT_EQ(lines[0].row.where, path + ":1");
}

}  // namespace
}  // namespace fathom
