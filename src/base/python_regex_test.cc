#include "base/python_regex.h"

#include <gmock/gmock.h>

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

bool found(std::string_view pattern, std::string_view text) { return PythonRegex(pattern).search(text); }

auto compiling(std::string pattern) {
  return [pattern = std::move(pattern)] { PythonRegex compiled(pattern); };
}

const std::string kPath = "decoder/moe_layers/self_attention/wq_a/kernel";

TEST(PythonRegex, AnchorsFlagsAndNamesMeanWhatTheyMeanInPython) {
  EXPECT_TRUE(found(R"(kernel\Z)", kPath));
  EXPECT_FALSE(found(R"(kernel\Z)", kPath + "\n"));
  EXPECT_TRUE(found("kernel$", kPath + "\n"));
  EXPECT_TRUE(found(R"(\Adecoder)", kPath));
  EXPECT_FALSE(found(R"(\Akernel)", kPath));
  EXPECT_TRUE(found("(?i)KERNEL", kPath));
  EXPECT_FALSE(found("KERNEL", kPath));
  EXPECT_TRUE(found("(?i:W)q_a", kPath));
  EXPECT_TRUE(found("(?P<letter>l)a.*(?P=letter)\\Z", kPath));
  EXPECT_TRUE(found("(?x) wq _a  # the low rank of the query", kPath));
  EXPECT_TRUE(found("(?im)\\bKernel", kPath));
}

TEST(PythonRegex, ClassesCountsAndAssertions) {
  EXPECT_TRUE(found(R"(layers_\d+/mlp)", "decoder/moe_layers_12/mlp"));
  EXPECT_TRUE(found(R"(^\w+/\w+/(?!mlp))", kPath));
  EXPECT_TRUE(found("(?<=wq_)a", kPath));
  EXPECT_FALSE(found("(?<!wq_)a/kernel", kPath));
  EXPECT_TRUE(found("^d{,2}e", "ddecoder"));  // literal braces in Perl
  EXPECT_TRUE(found("^x{,}y$", "xxxxxxy"));
  EXPECT_TRUE(found("a{b}", "a{b}"));
  EXPECT_TRUE(found("[[:alpha:]]", ":]"));  // the letters of ":alpha[" and a bracket, as Python reads it
  EXPECT_FALSE(found("[[:alpha:]]", "x]"));
  EXPECT_TRUE(found(R"([\]a-c]+d)", "]bd"));
  EXPECT_TRUE(found("[]x]y", "]y"));
  EXPECT_TRUE(found(R"(\x6bernel)", kPath));
  EXPECT_TRUE(found(R"(\u006bernel)", kPath));
  EXPECT_TRUE(found(R"(\153ernel)", kPath));
  EXPECT_TRUE(found(R"((a)(b)?(?(2)c|d))", "ad"));
  EXPECT_TRUE(found("a++b|(?>a+)b", "aab"));
  EXPECT_FALSE(found(R"(a\vb)", "a\nb"));
  EXPECT_TRUE(found(R"(a\vb)", "a\vb"));
}

TEST(PythonRegex, WhatPythonDoesNotHaveIsRefusedWithItsPlace) {
  for (const char* pattern : {R"(\Qa\E)", R"(\K)",   R"(\R)",    R"(\p{L})",         "(?R)",     "(?1)",
                              "(?|a)",    "(?<n>a)", "(?P>n)",   "(*UTF)a",          "a**",      "a{2}{3}",
                              "^*",       "*a",      "a(?i)",    "(?-i)a",           "(?L)a",    "(a",
                              "a)",       "[a",      "(?P<1>a)", "(?P<a>x)(?P<a>y)", "(?P=b)",   "(?#a",
                              "\\",       R"(\x1)",  R"([\Z])",  R"(\400)",          R"((a)\2)", "a{3,2}",
                              "(?"}) {
    EXPECT_THROW(PythonRegex compiled(pattern), PatternError) << pattern;
  }
  EXPECT_THAT(compiling(R"(ab\q)"), ThrowsMessage<PatternError>(HasSubstr("bad escape '\\q' at position 2")));
  EXPECT_THAT(compiling("x**"), ThrowsMessage<PatternError>(HasSubstr("multiple repeat at position 2")));
  EXPECT_THAT(compiling("\xff"), ThrowsMessage<PatternError>(HasSubstr("UTF-8")));
}

TEST(PythonRegex, LongDeepAndExplosivePatternsAreErrorsAtOnce) {
  EXPECT_THAT(compiling(std::string(100'000, 'a')), ThrowsMessage<PatternError>(HasSubstr("bytes long")));
  EXPECT_THAT(compiling(std::string(5'000, '(') + std::string(5'000, ')')),
              ThrowsMessage<PatternError>(HasSubstr("groups in one another")));
  EXPECT_THROW(PythonRegex compiled("((((a{1000}){1000}){1000}){1000})"), PatternError);
  const std::string text(200, 'a');
  for (const char* pattern : {"(a*)*b\\Z|c\\Z", "(a|aa)+[bc]$", "(?:a+)+(?=[bc])", "(.*)(.*)(.*)(.*)(.*)(.*)[bc]$"}) {
    EXPECT_THAT([&] { found(pattern, text); }, ThrowsMessage<PatternError>(HasSubstr("steps on 'aaa"))) << pattern;
  }
}

}  // namespace
}  // namespace fathom
