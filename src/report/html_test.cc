#include "report/html.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Html, WhatHasAMeaningInHtmlBecomesText) {
  EXPECT_EQ(html("<script>alert('a & \"b\"')</script>"),
            "&lt;script&gt;alert(&#39;a &amp; &quot;b&quot;&#39;)&lt;/script&gt;");
}

TEST(Html, OtherTextStaysAsItIs) { EXPECT_EQ(html("Stra\xC3\x9F"
                                                  "e \xE6\xB7\xB1\t1\n"),
                                             "Stra\xC3\x9F"
                                             "e \xE6\xB7\xB1\t1\n"); }

TEST(Html, BytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(html("a\xFF<\x01\xC3"), "a\xEF\xBF\xBD&lt;\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace fathom
