#include "kernels/indexer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

struct Case {
  IndexerShape n;
  int64_t first, top_k;
  // Lengths of each row's segments, numbered from 1; what is left of a row is padding (segment 0).
  std::vector<std::vector<int64_t>> segments;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "rows " << c.n.b << " queries " << c.n.s << " keys " << c.n.t << " heads " << c.n.g << " width " << c.n.i
       << " first " << c.first << " top_k " << c.top_k << " segments " << testing::PrintToString(c.segments);
}

// One key; lengths around panels (8 to 32 queries) and blocks of keys (120); one key chosen, all keys, more than there
// are; queries that begin later than the keys; segments shorter and longer than top_k, and padding.
const Case kCases[] = {
    {{1, 1, 1, 1, 1}, 0, 1, {{1}}},
    {{2, 5, 5, 3, 7}, 0, 2, {{2, 3}, {}}},
    {{1, 33, 33, 1, 16}, 0, 1, {{33}}},
    {{2, 64, 64, 4, 13}, 0, 8, {{64}, {30, 20}}},
    {{1, 121, 121, 2, 9}, 0, 121, {{121}}},
    {{1, 50, 50, 2, 8}, 0, 77, {{25, 25}}},
    {{2, 37, 300, 3, 24}, 263, 40, {{300}, {100, 150}}},
    {{1, 20, 300, 2, 5}, 100, 16, {{110, 190}}},
    {{3, 257, 257, 5, 12}, 0, 33, {{257}, {1, 200}, {90, 90, 77}}},
};

// Small whole numbers: every score is exact on every instruction set, many are equal, and many are 0.
std::vector<float> whole(int64_t count, int limit, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<int> distribution(-limit, limit);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = static_cast<float>(distribution(engine));
  return values;
}

struct Choice {
  std::vector<float> cutoff;
  std::vector<int32_t> tie, keys;
  bool operator==(const Choice&) const = default;
};

struct Data {
  explicit Data(const Case& c)
      : c(c),
        q(whole(c.n.b * c.n.s * c.n.g * c.n.i, 2, 1)),
        k(whole(c.n.b * c.n.t * c.n.i, 2, 2)),
        weights(whole(c.n.b * c.n.s * c.n.g, 2, 3)) {
    for (const auto& row : c.segments) {
      const size_t end = segments.size() + static_cast<size_t>(c.n.t);
      for (size_t i = 0; i < row.size(); ++i) {
        segments.insert(segments.end(), static_cast<size_t>(row[i]), static_cast<int32_t>(i + 1));
      }
      segments.resize(end, 0);
    }
  }

  Indexer indexer() const {
    return {.shape = c.n,
            .q = q.data(),
            .k = k.data(),
            .weights = weights.data(),
            .segments = segments.data(),
            .first = c.first};
  }
  int64_t places() const { return std::min(c.top_k, c.n.t); }

  Case c;
  std::vector<float> q, k, weights;
  std::vector<int32_t> segments;
};

// What `kernel` chooses with this indexer.
template <typename Kernel>
Choice choice_of(const Data& d, const Indexer& indexer, const Kernel& kernel) {
  const auto rows = static_cast<size_t>(d.c.n.b * d.c.n.s);
  Choice r{.cutoff = std::vector<float>(rows, NAN),
           .tie = std::vector<int32_t>(rows, -7),
           .keys = std::vector<int32_t>(rows * static_cast<size_t>(d.places()), -7)};
  kernel(IndexerSelection{indexer, d.c.top_k, r.cutoff.data(), r.tie.data(), r.keys.data()});
  return r;
}

Choice oracle(const Data& d) {
  return choice_of(d, d.indexer(), [](const IndexerSelection& s) { ref::indexer_selection(s); });
}

Choice choose(const Data& d, Parallel& parallel) {
  return choice_of(d, d.indexer(), [&](const IndexerSelection& s) { cpu::indexer_selection(s, parallel); });
}

std::vector<int32_t> keys_again(const Data& d, const Choice& choice, Parallel& parallel) {
  std::vector<int32_t> keys(choice.keys.size(), -7);
  cpu::indexer_keys({d.indexer(), choice.cutoff.data(), choice.tie.data(), d.places(), keys.data()}, parallel);
  return keys;
}

class IndexerKernel : public testing::TestWithParam<Case> {};

TEST_P(IndexerKernel, ChoosesWhatTheOracleChoosesOnEveryInstructionSet) {
  const Data d(GetParam());
  const Choice want = oracle(d);
  Serial serial;
  on_every_target([&] { EXPECT_TRUE(choose(d, serial) == want); });
}

TEST_P(IndexerKernel, TakesBfloat16OnEveryInstructionSet) {
  const Data d(GetParam());
  std::vector<uint16_t> q, k;
  for (float x : d.q) q.push_back(float_to_bf16(x));
  for (float x : d.k) k.push_back(float_to_bf16(x));
  Indexer indexer = d.indexer();
  indexer.dtype = DType::kBF16;
  indexer.q = q.data();
  indexer.k = k.data();
  const Choice want = oracle(d);
  Serial serial;
  on_every_target([&] {
    const Choice got = choice_of(d, indexer, [&](const IndexerSelection& s) { cpu::indexer_selection(s, serial); });
    EXPECT_TRUE(got == want);
  });
}

TEST_P(IndexerKernel, FindsTheListAgainFromCutoffAndTie) {
  const Data d(GetParam());
  Serial serial;
  on_every_target([&] {
    const Choice choice = choose(d, serial);
    EXPECT_EQ(keys_again(d, choice, serial), choice.keys);
  });
  const Choice want = oracle(d);
  std::vector<int32_t> keys(want.keys.size(), -7);
  ref::indexer_keys({d.indexer(), want.cutoff.data(), want.tie.data(), d.places(), keys.data()});
  EXPECT_EQ(keys, want.keys);
}

TEST_P(IndexerKernel, FindsTheListAgainWhereScoresAreRounded) {
  Data d(GetParam());
  std::mt19937 engine(5);
  std::normal_distribution<float> normal;
  for (auto* values : {&d.q, &d.k, &d.weights}) {
    for (float& x : *values) x = normal(engine);
  }
  Serial serial;
  on_every_target([&] {
    const Choice choice = choose(d, serial);
    EXPECT_EQ(keys_again(d, choice, serial), choice.keys);
  });
}

TEST_P(IndexerKernel, ChoosesTheSameOnAnyNumberOfThreads) {
  const Data d(GetParam());
  Serial serial;
  Threads three(3);
  const Choice one = choose(d, serial);
  EXPECT_TRUE(one == choose(d, three));
  EXPECT_EQ(keys_again(d, one, three), one.keys);
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, IndexerKernel, testing::ValuesIn(kCases));

TEST(Indexer, EarliestKeysWinWhereAllScoresAreEqual) {
  Data d({{1, 40, 40, 2, 8}, 0, 5, {{40}}});
  std::fill(d.q.begin(), d.q.end(), 0.0F);
  Serial serial;
  const Choice r = choose(d, serial);
  for (size_t i = 5; i < 40; ++i) {
    EXPECT_EQ(r.cutoff[i], 0);
    EXPECT_EQ(r.tie[i], 4);
    for (size_t x = 0; x < 5; ++x) EXPECT_EQ(r.keys[i * 5 + x], static_cast<int32_t>(x));
  }
}

TEST(Indexer, NanCountsAsTheLowestScore) {
  Data d({{1, 300, 300, 2, 8}, 0, 20, {{300}}});
  for (size_t t : {3U, 130U, 131U}) d.k[t * 8 + 1] = NAN;
  for (size_t i = 0; i < 16; ++i) d.q[200 * 16 + i] = NAN;
  Serial serial;
  const Choice want = oracle(d);
  on_every_target([&] { EXPECT_TRUE(choose(d, serial) == want); });
  EXPECT_EQ(want.cutoff[200], -INFINITY);
  EXPECT_EQ(want.tie[200], 19);
  EXPECT_EQ(keys_again(d, want, serial), want.keys);
}

TEST(Indexer, AListHoldsNoMoreThanItsPlaces) {
  const Data d({{1, 50, 50, 2, 8}, 0, 10, {{50}}});
  Serial serial;
  Choice choice = choose(d, serial);
  std::fill(choice.cutoff.begin(), choice.cutoff.end(), std::numeric_limits<float>::lowest());
  const std::vector<int32_t> keys = keys_again(d, choice, serial);
  for (size_t x = 0; x < 10; ++x) EXPECT_EQ(keys[49 * 10 + x], static_cast<int32_t>(x));
}

TEST(Indexer, RefusesQueriesThatAreNotAmongTheKeys) {
  for (int64_t first : {-1, 6}) {
    Data d({{1, 5, 10, 1, 4}, first, 2, {{10}}});
    Serial serial;
    EXPECT_THROW(choose(d, serial), std::invalid_argument) << first;
    EXPECT_THROW(oracle(d), std::invalid_argument) << first;
  }
}

}  // namespace
}  // namespace fathom
