#include "chat/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

std::string render(std::string_view source, const Json& context = Json::object(), const jinja::Limits& limits = {}) {
  return Template(source, "t").render(context, limits);
}

// The message of reading the template, "" when it can be read.
std::string syntax_error(std::string_view source) {
  try {
    const Template read(source, "t");
  } catch (const FormatError& e) {
    return e.what();
  }
  return "";
}

// The message of a template that can be read, when it is rendered.
std::string render_error(std::string_view source, const Json& context = Json::object(),
                         const jinja::Limits& limits = {}) {
  const Template read(source, "t");
  try {
    read.render(context, limits);
  } catch (const FormatError& e) {
    return e.what();
  }
  return "";
}

TEST(TemplateGoldens, EveryTemplateGivesWhatTransformersGives) {
  std::ifstream in("tests/data/chat/jinja.jsonl");
  int rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const Json row = Json::parse(line);
    SCOPED_TRACE(row["name"].get<std::string>() + ": " + row["template"].get<std::string>());
    const auto source = row["template"].get<std::string>();
    if (row.contains("expected")) {
      EXPECT_EQ(render(source, row["context"]), row["expected"].get<std::string>());
    } else if (row["error"] == "syntax") {
      EXPECT_THAT(syntax_error(source), HasSubstr("t: line "));
    } else {
      EXPECT_THAT(render_error(source, row["context"]), HasSubstr("t: line "));
    }
  }
  EXPECT_EQ(rows, 120);
}

TEST(Template, WhatIsNotKnownIsRefusedWithItsLineBeforeAnythingIsRendered) {
  EXPECT_THAT(syntax_error("a\n{% if false %}\n{{ x | shout }}{% endif %}"),
              AllOf(HasSubstr("line 3"), HasSubstr("'shout'")));
  EXPECT_THAT(syntax_error("{{ x is prime }}"), AllOf(HasSubstr("line 1"), HasSubstr("unknown test 'prime'")));
  EXPECT_THAT(syntax_error("\n{% include 'x' %}"), AllOf(HasSubstr("line 2"), HasSubstr("unknown tag 'include'")));
  EXPECT_THAT(syntax_error("\n\n{{ m.content.shout() }}"),
              AllOf(HasSubstr("line 3"), HasSubstr("unknown method 'shout'")));
  EXPECT_THAT(syntax_error("{% endif %}"), HasSubstr("closes nothing"));
  EXPECT_THAT(syntax_error("\n{% for x in y %}"), AllOf(HasSubstr("line 2"), HasSubstr("endfor")));
}

TEST(Template, AMacroInANamespaceIsNoUnknownMethod) {
  EXPECT_EQ(render("{% macro f(x) %}<{{ x }}>{% endmacro %}{% set ns = namespace(g=f) %}{{ ns.g(1) }}"), "<1>");
}

TEST(Template, ErrorsNameTheLineWhereTheyHappen) {
  EXPECT_THAT(render_error("a\nb\n{{ x.y.z }}"), AllOf(HasSubstr("t: line 3"), HasSubstr("'x' is undefined")));
  EXPECT_THAT(render_error("{% if true %}\n{{ 'a' +\n 1 }}{% endif %}"), HasSubstr("line 2"));
  EXPECT_THAT(render_error("{{ raise_exception('no ' ~ 1) }}"), HasSubstr("no 1"));
}

TEST(Template, GeneratorsAreReadOnce) {
  EXPECT_EQ(render("{% set g = [1, 2] | map('string') %}{{ g | list }}{{ g | list }}"), "['1', '2'][]");
  EXPECT_EQ(render("{{ 'y' if [] | select else 'n' }}"), "y");
}

TEST(Template, SplittingAtWhiteSpaceKeepsWhatIsBeyondTheLimit) {
  EXPECT_EQ(render("{{ ' a b  c '.split(None, 1) }} {{ ' a b  c '.rsplit(None, 1) }}"), "['a', 'b  c '] [' a b', 'c']");
}

TEST(Template, FiltersOfFalseValuesHaveNothingToGoOver) {
  EXPECT_EQ(render("{{ none | map('upper') | list }}{{ 0 | select | list }}"), "[][]");
}

TEST(Template, AConditionOfALoopSeesWhatTheBodyChanged) {
  EXPECT_EQ(render("{% set ns = namespace(n=0) %}{% for x in [1, 2, 3, 4] if x > ns.n %}{{ x }}{% set ns.n = x + 1 %}"
                   "{% endfor %}"),
            "13");
}

TEST(Template, ElseOfALoopFollowsPassesThatBreakOff) {
  EXPECT_EQ(render("{% for x in [1] %}{% break %}{% else %}e{% endfor %}"), "e");
}

TEST(Template, FormatsAsPythonDoes) {
  EXPECT_EQ(render("{{ '%s|%5.2f|%03d|%x|%-4s|%+d' % ('a', 3.14159, 7, 255, 'b', 5) }}"), "a| 3.14|007|ff|b   |+5");
  EXPECT_EQ(render("{{ '%(k)s %%' % {'k': [1]} }}"), "[1] %");
  EXPECT_EQ(render("{{ '{} {x!r:>5} {:.1f} {{}}'.format(1, 2.25, x='b') }}"), "1   'b' 2.2 {}");
  EXPECT_THAT(render_error("{{ '%d' % 'a' }}"), HasSubstr("number is required"));
  EXPECT_THAT(render_error("{{ '%s' % (1, 2) }}"), HasSubstr("not all arguments"));
}

TEST(Template, NumbersPrintAsInPython) {
  EXPECT_EQ(render("{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ -0.0 }} {{ 7 / 2 }} {{ 2 ** 100 }}"),
            "1e+16 1000000000000000.0 0.0001 1e-05 -0.0 3.5 1267650600228229401496703205376");
  EXPECT_THAT(render_error("{{ 2 ** 127 }}"), HasSubstr("127 bits"));
}

TEST(Template, TheLocalTimeIsThere) {
  EXPECT_THAT(render("{{ strftime_now('%Y') }}"), testing::MatchesRegex("20[0-9][0-9]"));
  EXPECT_EQ(render("{{ strftime_now('') }}"), "");
}

// ---- Templates that mean harm ----

TEST(HostileTemplate, AnEndlessLoopEnds) {
  const std::string loop =
      "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}"
      "{% endfor %}{% endfor %}{% endfor %}";
  EXPECT_THAT(render_error(loop, Json::object(), {.steps = 1'000'000}), HasSubstr("steps"));
}

TEST(HostileTemplate, AStringThatDoublesEnds) {
  const std::string source =
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";
  EXPECT_THAT(render_error(source), HasSubstr("MiB of memory"));
  EXPECT_THAT(render_error("{{ 'ab' * 10 ** 30 }}"), HasSubstr("MiB of memory"));
  EXPECT_THAT(render_error("{{ [1] * 10 ** 9 }}"), HasSubstr("MiB of memory"));
  EXPECT_THAT(render_error("{{ 'a'.ljust(10 ** 12) }}"), HasSubstr("MiB of memory"));
  EXPECT_THAT(render_error("{{ '%1000001d' % 1 }}"), HasSubstr("million"));
}

TEST(HostileTemplate, EndlessOutputEnds) {
  const std::string source = "{% for i in range(100000) %}{{ 'abcdefgh' * 1000 }}{% endfor %}";
  EXPECT_THAT(render_error(source), testing::AnyOf(HasSubstr("writes more than 64 MiB"), HasSubstr("steps")));
}

TEST(HostileTemplate, EndlessRecursionEnds) {
  EXPECT_THAT(render_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("levels"));
  EXPECT_THAT(render_error("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"), HasSubstr("levels"));
  EXPECT_THAT(render_error("{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}"), HasSubstr("levels"));
}

TEST(HostileTemplate, DeepTreesAreRefused) {
  EXPECT_THAT(syntax_error("{{ " + std::string(100'000, '(') + "1" + std::string(100'000, ')') + " }}"),
              HasSubstr("200"));
  EXPECT_THAT(syntax_error("{{ " + std::string(100'000, '-') + "1 }}"), HasSubstr("200"));
  std::string sum = "{{ 1", tags, filters = "{{ 'a'", nots = "{{ ";
  for (int i = 0; i < 10'000; ++i) {
    sum += " + 1";
    tags += "{% if true %}";
    filters += " | upper";
    nots += "not ";
  }
  EXPECT_THAT(syntax_error(sum + " }}"), HasSubstr("200"));
  EXPECT_THAT(syntax_error(tags), HasSubstr("200"));
  EXPECT_THAT(syntax_error(filters + " }}"), HasSubstr("200"));
  EXPECT_THAT(syntax_error(nots + "1 }}"), HasSubstr("200"));
}

TEST(HostileTemplate, ValuesThatHoldThemselvesAreNotFollowed) {
  EXPECT_THAT(render_error("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"), HasSubstr("too deep"));
  const std::string deep =
      "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}";
  EXPECT_THAT(render_error(deep + "{{ ns.l }}"), HasSubstr("too deep"));
  EXPECT_THAT(render_error(deep + "{{ ns.l | tojson }}"), HasSubstr("too deep"));
  EXPECT_THAT(render_error(deep + deep + "{% set a = ns.l %}" + deep + "{{ a == ns.l }}"), HasSubstr("too deep"));
}

TEST(HostileTemplate, ListsThatShareTheirPartsAreNotUnfolded) {
  const std::string source =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
      "{% set ns.b = [ns.b, ns.b] %}{% endfor %}";
  EXPECT_THAT(render_error(source + "{{ ns.a == ns.b }}", Json::object(), {.steps = 1'000'000}), HasSubstr("steps"));
  EXPECT_THAT(render_error(source + "{{ ns.a }}", Json::object(), {.steps = 1'000'000}), HasSubstr("steps"));
}

TEST(HostileTemplate, SearchingIsLinear) {
  // Naively 10^14 comparisons.
  const std::string source =
      "{% set a = 'a' * 10000000 %}{{ (a + 'b').count('a' * 5000000 + 'b') }} {{ a.rfind('b' + 'a' * 5000000) }}"
      " {{ a.replace('a' * 5000000 + 'b', '') | length }}";
  EXPECT_EQ(render(source), "1 -1 10000000");
}

TEST(HostileTemplate, BrokenTextIsRefused) {
  EXPECT_THAT(syntax_error("a\xff"), HasSubstr("UTF-8"));
  EXPECT_THAT(syntax_error("{{ '\\ud800' }}"), HasSubstr("no character"));
  EXPECT_THAT(syntax_error("{{ '\\x4' }}"), HasSubstr("cut short"));
}

}  // namespace
}  // namespace fathom
