// Each strategy against its formula, on many draws.
#include "decode/sampling.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace fathom {
namespace {

constexpr int kDraws = 10000;
// Softmax: 0.413, 0.250, 0.152, 0.092, 0.056, 0.034, and two that are equal (0.0006).
const std::vector<float> kLogits = {0.5F, 2.0F, -3.6F, 1.5F, 3.0F, -3.6F, 2.5F, 1.0F};
// In falling order.
const std::vector<int32_t> kOrder = {4, 6, 1, 3, 7, 0, 2, 5};

std::map<int32_t, int> counts(const Sampling& sampling, const std::vector<float>& logits = kLogits) {
  std::map<int32_t, int> out;
  for (uint64_t i = 0; i < kDraws; ++i) ++out[sampled_token(sampling, logits, {.prompt = i / 100, .place = i % 100})];
  return out;
}

// softmax(logits / temperature) over some tokens.
std::map<int32_t, double> formula(const std::vector<int32_t>& tokens, double temperature) {
  std::map<int32_t, double> out;
  double sum = 0;
  for (int32_t t : tokens) sum += out[t] = std::exp(static_cast<double>(kLogits[static_cast<size_t>(t)]) / temperature);
  for (auto& [token, p] : out) p /= sum;
  return out;
}

// Pearson's statistic below what one in a million draws exceeds, by the degrees of freedom (k + 5 sqrt(2 k) + 15 is
// above it for all k); no other token is drawn.
void expect_formula(const Sampling& sampling, const std::vector<int32_t>& tokens) {
  const std::map<int32_t, int> got = counts(sampling);
  double statistic = 0;
  for (const auto& [token, p] : formula(tokens, sampling.temperature)) {
    const double want = p * kDraws;
    const double seen = got.contains(token) ? got.at(token) : 0;
    statistic += (seen - want) * (seen - want) / want;
  }
  const double k = static_cast<double>(tokens.size()) - 1;
  EXPECT_LT(statistic, k + 5 * std::sqrt(2 * k) + 15);
  for (const auto& [token, count] : got) EXPECT_TRUE(std::ranges::count(tokens, token)) << token;
}

std::vector<int32_t> first_of_order(size_t count) {
  return {kOrder.begin(), kOrder.begin() + static_cast<long>(count)};
}

TEST(Sampling, GreedyTakesTheFirstOfTheLargest) {
  EXPECT_EQ(sampled_token({}, kLogits, {}), 4);
  const std::vector<float> equal = {1, 3, 2, 3};
  EXPECT_EQ(sampled_token({}, equal, {}), 1);
}

TEST(Sampling, WeightedFollowsTheSoftmaxAtItsTemperature) {
  for (double temperature : {0.5, 1.0, 2.5}) {
    expect_formula({.strategy = DecodeStrategy::kWeighted, .temperature = temperature, .seed = 3}, kOrder);
  }
}

TEST(Sampling, TopKDrawsAmongTheLargest) {
  for (int64_t k : {1, 3, 5, 100}) {
    expect_formula({.strategy = DecodeStrategy::kTopk, .temperature = 1.5, .top_k = k},
                   first_of_order(std::min<size_t>(static_cast<size_t>(k), 8)));
  }
  // The seventh and the eighth are equal: the earlier one is in.
  expect_formula({.strategy = DecodeStrategy::kTopk, .temperature = 20, .top_k = 7}, first_of_order(7));
}

// Cumulated: 0.413, 0.663, 0.815, 0.907, 0.963, 0.997, ...; those below p and one more, whatever the temperature.
TEST(Sampling, NucleusDrawsAmongThoseOfTheMass) {
  for (const auto& [p, count] : std::map<double, size_t>{{0.1, 1}, {0.5, 2}, {0.7, 3}, {0.95, 5}}) {
    for (double temperature : {1.0, 3.0}) {
      expect_formula({.strategy = DecodeStrategy::kNucleus, .temperature = temperature, .nucleus_p = p},
                     first_of_order(count));
    }
  }
}

TEST(Sampling, NucleusKeepsAllThatEqualTheLastOne) {
  expect_formula({.strategy = DecodeStrategy::kNucleus, .temperature = 20, .nucleus_p = 0.999}, kOrder);
  expect_formula({.strategy = DecodeStrategy::kNucleus, .temperature = 20, .nucleus_p = 1}, kOrder);
}

// Of the 4 largest, renormalised: 0.455, 0.731, 0.898, 1.
TEST(Sampling, CompositeIsTheNucleusWithinTheLargest) {
  for (const auto& [p, count] : std::map<double, size_t>{{0.4, 1}, {0.7, 2}, {0.73, 2}, {0.74, 3}, {1.0, 4}}) {
    expect_formula({.strategy = DecodeStrategy::kComposite, .temperature = 2, .top_k = 4, .nucleus_p = p},
                   first_of_order(count));
  }
  // 0.663 without renormalisation: three, where two are right.
  expect_formula({.strategy = DecodeStrategy::kComposite, .temperature = 2, .top_k = 3, .nucleus_p = 0.8},
                 first_of_order(2));
}

TEST(Sampling, AtTemperatureZeroIsGreedy) {
  for (DecodeStrategy strategy : {DecodeStrategy::kWeighted, DecodeStrategy::kTopk, DecodeStrategy::kComposite}) {
    const auto got = counts({.strategy = strategy, .temperature = 0, .top_k = 8, .nucleus_p = 1});
    EXPECT_EQ(got.size(), 1u);
    EXPECT_EQ(got.begin()->first, 4);
  }
}

TEST(Sampling, DrawsAreThoseOfTheirSeedAndPlace) {
  EXPECT_EQ(uniform(1, {.prompt = 2, .place = 3}), uniform(1, {.prompt = 2, .place = 3}));
  std::set<double> all;
  double sum = 0;
  for (uint64_t seed : {0, 1, 2}) {
    for (uint64_t prompt = 0; prompt < 30; ++prompt) {
      for (uint64_t place = 0; place < 30; ++place) {
        const double u = uniform(seed, {.prompt = prompt, .place = place});
        EXPECT_TRUE(u >= 0 && u < 1);
        all.insert(u);
        sum += u;
      }
    }
  }
  EXPECT_EQ(all.size(), 2700u) << "two draws are one";
  EXPECT_NEAR(sum / 2700, 0.5, 0.03);
}

}  // namespace
}  // namespace fathom
