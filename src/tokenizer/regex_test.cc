#include "tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// All matches from left to right.
std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const Regex regex(pattern);
  std::vector<std::string> out;
  uint64_t budget = Regex::budget(text);
  for (size_t at = 0;;) {
    const auto match = regex.find(text, at, budget);
    if (!match) return out;
    out.emplace_back(text.substr(match->begin, match->end - match->begin));
    at = match->end;
  }
}

std::optional<Regex::Match> first_match(std::string_view pattern, std::string_view text) {
  uint64_t budget = Regex::budget(text);
  return Regex(pattern).find(text, 0, budget);
}

std::string error_of(std::string_view pattern) {
  try {
    const Regex regex(pattern);
  } catch (const RegexError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Regex, FirstAlternativeThatMatchesWins) {
  EXPECT_THAT(matches("a|ab|c", "abcac"), ElementsAre("a", "c", "a", "c"));
  EXPECT_THAT(matches("(?:ab|a)c", "acabc"), ElementsAre("ac", "abc"));
}

TEST(Regex, QuantifiersAreGreedyAndGiveBack) {
  EXPECT_THAT(matches("a*ab", "aaab"), ElementsAre("aaab"));
  EXPECT_THAT(matches("a{1,3}", "aaaaa"), ElementsAre("aaa", "aa"));
  EXPECT_THAT(matches("a{2}", "aaaaa"), ElementsAre("aa", "aa"));
  EXPECT_THAT(matches("a{2,}", "a aaaa"), ElementsAre("aaaa"));
  EXPECT_THAT(matches("é+x?", "éééx é"), ElementsAre("éééx", "é"));
  EXPECT_THAT(matches("中*中文", "中中中文"), ElementsAre("中中中文"));
}

TEST(Regex, PossessiveQuantifiersGiveNothingBack) {
  EXPECT_THAT(matches("a++ab|b", "aaab"), ElementsAre("b"));
  EXPECT_THAT(matches("a?+ab|b", "ab"), ElementsAre("b"));
}

TEST(Regex, GroupsRepeatALimitedNumberOfTimes) {
  EXPECT_THAT(matches("x(?:y|zz){1,3}z", "xyyyyz xyzzz xzzz"), ElementsAre("xyzzz", "xzzz"));
  EXPECT_THAT(matches("(ab)?c", "abcc"), ElementsAre("abc", "c"));
  EXPECT_THAT(matches("(?:q?r){2}", "qrrrqr"), ElementsAre("qrr", "rqr"));
}

TEST(Regex, LookaheadSeesOnlyThisText) {
  EXPECT_THAT(matches("\\s+(?!\\S)", "a   b  "), ElementsAre("  ", "  "));
  EXPECT_THAT(matches("a(?=b)", "aab"), ElementsAre("a"));
}

TEST(Regex, DollarIsTheEndOfALine) { EXPECT_THAT(matches("\\s+$|b$", "a  \nb \n"), ElementsAre("  ", " \n")); }

TEST(Regex, CaseIsIgnoredOnlyInsideItsGroup) {
  EXPECT_THAT(matches("(?i:'s|'ll)x", "'sx 'Sx 'ſx 'Llx 'sX"), ElementsAre("'sx", "'Sx", "'ſx", "'Llx"));
  EXPECT_THAT(matches("(?i:k)", "kK\u212a"), ElementsAre("k", "K", "\u212a"));
  EXPECT_THAT(matches("'(?i:[sdmt])", "'S'ſ'm'x"), ElementsAre("'S", "'ſ", "'m"));
}

TEST(Regex, ClassesHoldRangesEscapesAndProperties) {
  EXPECT_THAT(matches("[a-c\\-\\]]+", "xab-]d"), ElementsAre("ab-]"));
  EXPECT_THAT(matches("[一-龥]+", "a中文b"), ElementsAre("中文"));
  EXPECT_THAT(matches("[\\u4e00-\\x{9fa5}]+", "a中文b"), ElementsAre("中文"));
  EXPECT_THAT(matches("[^\\r\\n\\p{L}]+", "ab12\n\xf0\x9f\x98\x80z"), ElementsAre("12", "\xf0\x9f\x98\x80"));
  EXPECT_THAT(matches("[^\\P{L}a]+|\\p{^L}", "abc1"), ElementsAre("bc", "1"));
  EXPECT_THAT(matches("[a-]+", "a-b"), ElementsAre("a-"));
  EXPECT_THAT(matches("\\x41\\$", "A$"), ElementsAre("A$"));
}

TEST(Regex, NoMatchStartsInsideACodePoint) {
  EXPECT_THAT(matches("[^a]", "é\u200d"), ElementsAre("é", "\u200d"));
  EXPECT_THAT(matches("[^a-z\u200d]", "\u200d"), IsEmpty());
}

TEST(Regex, LongRunsThatDoNotMatchTakeLinearTime) {
  std::string text(1000000, ' ');
  text.push_back('5');
  EXPECT_FALSE(first_match("\\s+$", text));
  EXPECT_EQ(first_match("\\s+5", text)->end, text.size());
}

TEST(Regex, DeepTextDoesNotUseStack) {
  const std::string text(5000000, 'a');
  EXPECT_EQ(first_match("a+b?", text)->end, text.size());
}

TEST(Regex, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(error_of("a(?<=b)"), HasSubstr("unsupported construct '(?<' at character 2"));
  EXPECT_THAT(error_of("a+?"), HasSubstr("unsupported construct 'a+?' at character 1"));
  EXPECT_THAT(error_of("(ab)*"), HasSubstr("unsupported construct '(ab)*'"));
  EXPECT_THAT(error_of("\\bx"), HasSubstr("unsupported construct '\\b'"));
  EXPECT_THAT(error_of("x.y"), HasSubstr("unsupported construct '.' at character 2"));
  EXPECT_THAT(error_of("^a"), HasSubstr("unsupported construct '^'"));
  EXPECT_THAT(error_of("\\p{Han}"), HasSubstr("unsupported class '\\p{Han}'"));
  EXPECT_THAT(error_of("[a[b]]"), HasSubstr("unsupported construct '['"));
  EXPECT_THAT(error_of("[a-z&&b]"), HasSubstr("unsupported construct '&&'"));
  EXPECT_THAT(error_of("a{,2}"), HasSubstr("unsupported construct"));
  EXPECT_THAT(error_of("a{2}+"), HasSubstr("unsupported construct"));
  EXPECT_THAT(error_of("(?i:é)"), HasSubstr("not ASCII"));
  EXPECT_THAT(error_of("(?i:\\p{L})"), HasSubstr("inside (?i:...)"));
  EXPECT_THAT(error_of("(?i:less)"), HasSubstr("ligature"));
}

TEST(Regex, MalformedPatternsAreErrors) {
  for (const char* pattern :
       {"(a",          "a)",    "[a",    "[",       "[]",   "*a",  "a|*", "a{2,1}", "a{0}", "a\\",     "\\p{L", "\\x4",
        "\\x{110000}", "\\x{}", "[b-a]", "a{2000}", "\xff", "(?i", "(?",  "[a-",    "[\\",  "\\u12g4", "(?=a)+"}) {
    EXPECT_THROW(Regex{pattern}, RegexError) << pattern;
  }
  EXPECT_THROW(Regex{std::string(100000, '(')}, RegexError);
  EXPECT_THROW(Regex{"((((a|b){1000}){1000}){1000})"}, RegexError);
}

TEST(Regex, ALongPatternIsAnErrorAndNoOverflow) {
  std::string optional, alternatives = "a";
  for (int i = 0; i < 200000; ++i) {
    optional += "a?";
    alternatives += "|ba";
  }
  EXPECT_THAT(error_of(optional + "b"), HasSubstr("too large"));
  EXPECT_THAT(error_of(alternatives), HasSubstr("too large"));
}

TEST(Regex, RepeatsThatExplodeAreAnErrorAndNoHang) {
  const std::string text(2000, 'a');
  EXPECT_THROW(first_match("a*a*a*a*a*a*a*a*b", text), RegexError);
  EXPECT_THROW(first_match("(?:a?a?a?){30}b", text), RegexError);
  EXPECT_THROW(first_match("a+a+a+(?=b)", text), RegexError);
  // What words are cut with needs little, whatever the text is.
  for (const std::string& run : {std::string(200000, ' '), std::string(200000, '7'), std::string(200000, '\'')}) {
    matches("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
            run);
  }
}

TEST(Regex, APatternOfTheEmptyTextSplitsNothing) {
  for (const char* pattern : {"", "a*", "a?|b", "(?!a)", "$", "a|"}) {
    EXPECT_THAT(error_of(pattern), HasSubstr("empty text")) << pattern;
  }
}

}  // namespace
}  // namespace fathom
