#include "base/utf8.h"

#include <gmock/gmock.h>

namespace fathom {
namespace {

constexpr size_t kValid = std::string_view::npos;

TEST(Utf8, WellFormedTextOfEveryLengthPasses) {
  EXPECT_EQ(find_invalid_utf8(""), kValid);
  EXPECT_EQ(find_invalid_utf8("plain text longer than eight bytes"), kValid);
  EXPECT_EQ(
      find_invalid_utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"),
      kValid);
}

TEST(Utf8, TheFirstBadByteIsNamed) {
  EXPECT_EQ(find_invalid_utf8("12345678\xff"), 8u);
  EXPECT_EQ(find_invalid_utf8("ab\x80"), 2u);             // a continuation alone
  EXPECT_EQ(find_invalid_utf8("abc\xc3"), 3u);            // cut
  EXPECT_EQ(find_invalid_utf8("\xe2\x82"), 0u);           // cut
  EXPECT_EQ(find_invalid_utf8("a\xc0\xaf"), 1u);          // overlong
  EXPECT_EQ(find_invalid_utf8("a\xe0\x9f\xbf"), 1u);      // overlong
  EXPECT_EQ(find_invalid_utf8("a\xf0\x8f\xbf\xbf"), 1u);  // overlong
  EXPECT_EQ(find_invalid_utf8("a\xed\xa0\x80"), 1u);      // surrogate
  EXPECT_EQ(find_invalid_utf8("a\xf4\x90\x80\x80"), 1u);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("a\xe2\x82\x41"), 1u);      // third byte
}

}  // namespace
}  // namespace fathom
