#include "tokenizer/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/word_cache.h"

namespace fathom {
namespace {

std::array<int32_t, 256> identity_bytes() {
  std::array<int32_t, 256> ids{};
  for (int i = 0; i < 256; ++i) ids[i] = i;
  return ids;
}

// The definition: while a neighbouring pair is in the list, join the first of those with the lowest rank.
std::vector<int32_t> reference_encode(const std::vector<BpeMerge>& merges, const std::string& word) {
  std::map<std::pair<int32_t, int32_t>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[{merges[i].left, merges[i].right}] = i;
  std::vector<int32_t> ids(word.begin(), word.end());
  for (;;) {
    size_t best = ids.size();
    size_t best_rank = merges.size();
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto it = ranks.find({ids[i], ids[i + 1]});
      if (it != ranks.end() && it->second < best_rank) {
        best = i;
        best_rank = it->second;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = merges[best_rank].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsFollowTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    // Random merges over four letters, each of tokens made before it; their texts differ.
    std::map<int32_t, std::string> texts = {{'a', "a"}, {'b', "b"}, {'c', "c"}, {'d', "d"}};
    std::vector<BpeMerge> merges;
    for (int32_t id = 256; id < 290; ++id) {
      auto pick = [&] { return std::next(texts.begin(), static_cast<int>(random() % texts.size()))->first; };
      const BpeMerge merge{pick(), pick(), id};
      const std::string text = texts[merge.left] + texts[merge.right];
      if (std::any_of(texts.begin(), texts.end(), [&](const auto& entry) { return entry.second == text; })) continue;
      texts[id] = text;
      merges.push_back(merge);
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const Bpe bpe(identity_bytes(), merges);
    for (size_t length : {1u, 2u, 3u, 17u, 63u, 64u, 65u, 66u, 200u}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) word.push_back(static_cast<char>('a' + random() % (round % 2 == 0 ? 2 : 4)));
      std::vector<int32_t> ids;
      bpe.encode(word, ids);
      EXPECT_EQ(ids, reference_encode(merges, word)) << word;
    }
  }
}

TEST(Bpe, WithoutMergesBytesStand) {
  std::vector<int32_t> ids = {-5};
  Bpe(identity_bytes(), {}).encode("ab", ids);
  EXPECT_THAT(ids, testing::ElementsAre(-5, 'a', 'b'));
}

TEST(Bpe, ALongWordDoesNotTakeQuadraticTime) {
  const Bpe bpe(identity_bytes(), {{'a', 'a', 256}, {256, 256, 257}});
  std::vector<int32_t> ids;
  bpe.encode(std::string(400000, 'a'), ids);
  EXPECT_EQ(ids, std::vector<int32_t>(100000, 257));
}

TEST(WordCache, AWordIsEncodedOnceAndComesBackTheSame) {
  WordCache cache;
  int calls = 0;
  auto encode = [&](std::string_view word, std::vector<int32_t>& out) {
    ++calls;
    for (const char c : word) out.push_back(c);
  };
  std::vector<int32_t> ids;
  for (const char* word : {"ab", "abc", "ab", "abc", "ab"}) cache.encode(word, ids, encode);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(std::string(ids.begin(), ids.end()), "ababcababcab");
}

TEST(WordCache, WordsThatDoNotFitAreEncodedEachTime) {
  WordCache cache;
  int calls = 0;
  auto encode = [&](std::string_view word, std::vector<int32_t>& out) {
    ++calls;
    out.insert(out.end(), word.size(), 1);
  };
  std::vector<int32_t> ids;
  const std::string seventeen_bytes(17, 'x');  // too long a word
  const std::string twelve_ids(12, 'x');       // too many ids
  for (int i = 0; i < 2; ++i) {
    cache.encode(seventeen_bytes, ids, encode);
    cache.encode(twelve_ids, ids, encode);
  }
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(ids.size(), 2u * (17 + 12));
}

TEST(WordCache, WordsThatDifferInZeroBytesAreNotMixedUp) {
  WordCache cache;
  auto encode = [](std::string_view word, std::vector<int32_t>& out) {
    out.push_back(static_cast<int32_t>(word.size()));
  };
  std::vector<int32_t> ids;
  for (int round = 0; round < 2; ++round) {
    for (size_t length = 1; length <= 16; ++length) cache.encode(std::string(length, '\0'), ids, encode);
  }
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], static_cast<int32_t>(i % 16 + 1));
}

}  // namespace
}  // namespace fathom
