#include "base/one_line.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(OnOneLine, SpellsWhatWouldBreakTheLineOrTheTerminal) {
  EXPECT_EQ(on_one_line("a\nb\rc\td\\n\x1b[2J\x7f"), "a\\nb\\rc\\td\\\\n\\x1b[2J\\x7f");
  EXPECT_EQ(on_one_line("你好 -> Мир"), "你好 -> Мир");
}

}  // namespace
}  // namespace fathom
