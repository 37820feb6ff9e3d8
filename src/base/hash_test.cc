#include "base/hash.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(HashOf, IsXxh3OfTheBytes) {
  // XXH3's published value for no input at all.
  EXPECT_EQ(hash_of(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(hash_of("a"), hash_of("b"));
}

TEST(HashOfParts, TellsListsApartThatReadTheSame) {
  EXPECT_NE(hash_of_parts({"ab", "c"}), hash_of_parts({"a", "bc"}));
  EXPECT_NE(hash_of_parts({"ab"}), hash_of_parts({"ab", ""}));
  EXPECT_EQ(hash_of_parts({"ab", "c"}), hash_of_parts({"ab", "c"}));
}

}  // namespace
}  // namespace fathom
