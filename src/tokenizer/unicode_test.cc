#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tokenizer/byte_level.h"
#include "tokenizer/code_point_set.h"

namespace fathom {
namespace {

uint64_t size_of(const CodePointSet& set) {
  uint64_t count = 0;
  for (const auto& range : set.ranges()) count += range.last - range.first + 1;
  return count;
}

TEST(Unicode, CategoriesPartitionTheCodePoints) {
  uint64_t count = 0;
  CodePointSet all;
  for (const char* name : {"L", "M", "N", "P", "S", "Z", "C"}) {
    count += size_of(*category_set(name));
    all.add(*category_set(name));
  }
  EXPECT_EQ(count, kMaxCodePoint + 1);
  EXPECT_EQ(all, CodePointSet({{0, kMaxCodePoint}}));
}

// Counts from DerivedGeneralCategory.txt 16.0.0.
TEST(Unicode, CategoriesAreThoseOfUnicode16) {
  EXPECT_EQ(size_of(*category_set("L")), 141028u);
  EXPECT_EQ(size_of(*category_set("M")), 2501u);
  EXPECT_EQ(size_of(*category_set("N")), 1911u);
  EXPECT_EQ(size_of(*category_set("P")), 855u);
  EXPECT_EQ(size_of(*category_set("S")), 8514u);
  EXPECT_EQ(size_of(*category_set("Z")), 19u);
  EXPECT_EQ(size_of(*category_set("Lu")), 1858u);
  EXPECT_EQ(size_of(*category_set("Nd")), 760u);
}

TEST(Unicode, CharactersNewInUnicode15And16HaveTheirClass) {
  EXPECT_TRUE(category_set("So")->contains(0x1fae8));  // 15.0, shaking face
  EXPECT_TRUE(category_set("So")->contains(0x1fae9));  // 16.0, face with bags under eyes
  EXPECT_TRUE(category_set("Lo")->contains(0x31350));  // 15.0, CJK extension H
  EXPECT_TRUE(category_set("L")->contains(0x2ebf0));   // 15.1, CJK extension I
  EXPECT_TRUE(category_set("Lo")->contains(0x10d4a));  // 16.0, Garay
  EXPECT_TRUE(category_set("Lu")->contains(0x1c89));   // 16.0, Cyrillic
}

TEST(Unicode, UnknownCategoriesAreRefused) {
  for (const char* name : {"", "l", "Lx", "Han", "Letter", "Luu"}) EXPECT_FALSE(category_set(name)) << name;
}

TEST(Unicode, BitmapsEqualTheirSets) {
  CodePointSet odd(
      {{0, 0}, {63, 64}, {127, 128}, {255, 256}, {0x3ff, 0x500}, {0xffff, 0x10000}, {kMaxCodePoint, kMaxCodePoint}});
  for (const CodePointSet& set :
       {odd, odd.complement(), *category_set("L"), *category_set("S"), word_set(), white_space_set(), CodePointSet()}) {
    const CodePointBitmap bitmap(set);
    uint32_t wrong = 0;
    for (uint32_t c = 0; c <= kMaxCodePoint; ++c) {
      wrong += bitmap.contains(c) != set.contains(c);
      if (c < 0x80) wrong += bitmap.contains_ascii(static_cast<unsigned char>(c)) != set.contains(c);
    }
    EXPECT_EQ(wrong, 0u);
  }
}

TEST(Unicode, ComplementTwiceIsTheSet) {
  for (const CodePointSet& set : {*category_set("P"), CodePointSet(), CodePointSet({{0, kMaxCodePoint}})}) {
    EXPECT_EQ(set.complement().complement(), set);
  }
}

TEST(Unicode, Utf8SurvivesTheRoundTrip) {
  for (uint32_t c : {0u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xffffu, 0x10000u, kMaxCodePoint}) {
    std::string text;
    append_utf8(text, c);
    EXPECT_EQ(decode_utf8(text.data()), c);
    EXPECT_EQ(utf8_length(text[0]), text.size());
    EXPECT_EQ(previous_code_point("a" + text, text.size() + 1), 1u);
  }
}

TEST(LossyUtf8, EachMaximalInvalidPartIsOneReplacement) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(to_utf8_lossy("plain é"), "plain é");
  EXPECT_EQ(to_utf8_lossy(""), "");
  EXPECT_EQ(to_utf8_lossy("a\x80z"), "a" + r + "z");
  EXPECT_EQ(to_utf8_lossy("\xe4\xb8"), r);                     // a sequence cut at the end
  EXPECT_EQ(to_utf8_lossy("\xf0\x9f\x98z"), r + "z");          // cut in the middle
  EXPECT_EQ(to_utf8_lossy("\xf0\x9f\xe4\xb8\xad"), r + "中");  // cut by another
  EXPECT_EQ(to_utf8_lossy("\xc0\x80"), r + r);                 // overlong: no prefix of it is one of a valid sequence
  EXPECT_EQ(to_utf8_lossy("\xe0\x80\x80"), r + r + r);
  EXPECT_EQ(to_utf8_lossy("\xed\xa0\x80"), r + r + r);  // a surrogate
  EXPECT_EQ(to_utf8_lossy("\xf4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(to_utf8_lossy("\xf5\xff"), r + r);
}

TEST(ByteLevel, EveryByteHasACharacterOfItsOwn) {
  EXPECT_EQ(byte_to_text(' '), "Ġ");
  EXPECT_EQ(byte_to_text('\n'), "Ċ");
  EXPECT_EQ(byte_to_text('!'), "!");
  EXPECT_EQ(byte_to_text(0xad), "Ń");
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(token_to_bytes(byte_to_text(static_cast<uint8_t>(byte))), std::string(1, static_cast<char>(byte)));
  }
}

TEST(ByteLevel, TextWithOtherCharactersStandsForNoBytes) {
  EXPECT_FALSE(token_to_bytes("a b"));
  EXPECT_FALSE(token_to_bytes("<｜User｜>"));
  EXPECT_FALSE(token_to_bytes("\xc4"));
  EXPECT_EQ(token_to_bytes("<think>"), "<think>");
}

}  // namespace
}  // namespace fathom
