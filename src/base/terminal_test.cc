#include "base/terminal.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Terminal, ObeysNothingThatAModelWrites) {
  EXPECT_EQ(harmless_on_terminal("a\x1b[2Jb\r\x07\x7f\x08"), "a␛[2Jb␍␇␡␈");
  EXPECT_EQ(harmless_on_terminal(std::string_view("\0\xc2\x9b"
                                                  "1m",
                                                  5)),
            "␀\ufffd1m");
  const std::string words = "line\n\tü é ï ¿ 日本語 \xc2\xa0 ⟦x⟧ \U0001f600";
  EXPECT_EQ(harmless_on_terminal(words), words);
}

}  // namespace
}  // namespace fathom
