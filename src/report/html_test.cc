#include "report/html.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Html, WhatHasAMeaningInHtmlBecomesText) {
  EXPECT_EQ(html("<script>alert('a & \"b\"')</script>"),
            "&lt;script&gt;alert(&#39;a &amp; &quot;b&quot;&#39;)&lt;/script&gt;");
}

TEST(Html, OtherTextStaysAsItIs) {
  const std::string text = "\xC3\x9F \xE6\xB7\xB1\t1\n";  // two letters of other scripts
  EXPECT_EQ(html(text), text);
}

TEST(Html, BytesThatAreNoTextAreReplaced) {
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(html("a\xFF<\x01\xC3"), "a" + replaced + "&lt;" + replaced + replaced);
}

}  // namespace
}  // namespace fathom
