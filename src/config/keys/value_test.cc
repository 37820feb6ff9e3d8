#include "config/keys/value.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::HasSubstr;

TEST(ParseInt, TakesUnderscoresExponentsAndWholeDecimals) {
  int64_t n = 0;
  EXPECT_TRUE(parse_int("10_000", n));
  EXPECT_EQ(n, 10000);
  EXPECT_TRUE(parse_int("-1", n));
  EXPECT_EQ(n, -1);
  EXPECT_TRUE(parse_int("1e4", n));
  EXPECT_EQ(n, 10000);
  EXPECT_TRUE(parse_int("5.0", n));
  EXPECT_EQ(n, 5);
  EXPECT_FALSE(parse_int("5.5", n));
  EXPECT_FALSE(parse_int("five", n));
  EXPECT_FALSE(parse_int("", n));
}

// YAML 1.1, which the peer reads: a zero in front makes a plain number octal, a quoted one is Python's.
TEST(ParseInt, ReadsOtherBasesAsYamlDoes) {
  struct Case {
    const char* text;
    int64_t plain;
    int64_t quoted;  // -1: none
  };
  for (const Case& c : {Case{"010", 8, 10},
                        {"-010", -8, -10},
                        {"0_10", 8, 10},
                        {"0x1f", 31, -1},
                        {"0b11", 3, -1},
                        {"08", 8, 8},
                        {"0", 0, 0},
                        {"00", 0, 0}}) {
    int64_t n = -1;
    EXPECT_TRUE(parse_int(c.text, n)) << c.text;
    EXPECT_EQ(n, c.plain) << c.text;
    EXPECT_EQ(parse_int(c.text, n, Spelling::kPython), c.quoted != -1) << c.text;
    if (c.quoted != -1) {
      EXPECT_EQ(n, c.quoted) << c.text;
    }
    double x = 0;
    EXPECT_TRUE(parse_float(c.text, x)) << c.text;
    EXPECT_EQ(x, static_cast<double>(c.plain)) << c.text;
  }
  int64_t n = 0;
  for (const char* text : {"0x", "0b2", "0o10", "0x-1", "9223372036854775808"})
    EXPECT_FALSE(parse_int(text, n)) << text;
}

TEST(ParseFloat, TakesWhatTheConfigurationFilesWrite) {
  double x = 0;
  EXPECT_TRUE(parse_float("3.e-5", x));
  EXPECT_DOUBLE_EQ(x, 3e-5);
  EXPECT_TRUE(parse_float("1_000.5", x));
  EXPECT_DOUBLE_EQ(x, 1000.5);
  EXPECT_TRUE(parse_float("+2", x));
  EXPECT_DOUBLE_EQ(x, 2);
  EXPECT_TRUE(parse_float(".inf", x));
  EXPECT_FALSE(parse_float("1.0x", x));
}

TEST(ParseBool, TakesThePeersWords) {
  bool b = false;
  for (const char* yes : {"true", "True", "yes", "Y", "t", "1", "on"}) {
    EXPECT_TRUE(parse_bool(yes, b) && b) << yes;
  }
  for (const char* no : {"false", "False", "no", "N", "f", "0", "off"}) {
    EXPECT_TRUE(parse_bool(no, b) && !b) << no;
  }
  EXPECT_FALSE(parse_bool("2", b));
}

TEST(ParseYaml, KeepsQuotedTextApartFromWordsOfYaml) {
  RawValue doc = parse_yaml("a: 'true'\nb: true\nc:\nd: None\n", "test");
  ASSERT_EQ(doc.fields.size(), 4u);
  EXPECT_TRUE(doc.fields[0].value.quoted);
  EXPECT_FALSE(doc.fields[1].value.quoted);
  EXPECT_TRUE(doc.fields[2].value.is_none());
  EXPECT_TRUE(doc.fields[3].value.is_none());
  EXPECT_EQ(doc.fields[1].value.line, 2);
}

TEST(ParseYaml, NamesFileAndLineOfBrokenText) {
  try {
    parse_yaml("a: 1\nb: [1, 2\n", "my.yml");
    FAIL() << "broken YAML was accepted";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), HasSubstr("my.yml: line 3"));
  }
}

std::string mistake(const std::string& text) {
  try {
    parse_yaml(text, "my.yml");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(ParseYaml, RefusesWhatAReaderCouldPassOver) {
  EXPECT_THAT(mistake("steps: 3\nlog_period: 1\nsteps: 4\n"),
              HasSubstr("my.yml: line 3: steps is given twice, on line 1"));
  EXPECT_THAT(mistake("a: {b: 1, b: 2}\n"), HasSubstr("line 1: b is given twice"));
  EXPECT_THAT(mistake("steps: 3\n---\nsteps: 4\n"), HasSubstr("my.yml: line 2: a second YAML document"));
  EXPECT_THAT(mistake("a: 1\nb: !!python/object:x 3\n"),
              HasSubstr("my.yml: line 2: the tag tag:yaml.org,2002:python/object:x"));
  EXPECT_THAT(mistake("a: !mine [1]\n"), HasSubstr("line 1: the tag !mine"));
  for (const char* open :
       {"c: 2\nb: \"open\nd: 1\n", "c: 2\nb: 'open\n", "c: 2\nb: [a, 'open]", "c: 2\nb: 'it''s\n\n"}) {
    EXPECT_EQ(mistake(open), "my.yml: line 2: not YAML: a quote is not closed") << open;
  }
  EXPECT_THAT(mistake(std::string("a: 1\nb: x\0y\n", 12)), HasSubstr("my.yml: line 2: the byte 0x00"));
  EXPECT_THAT(mistake("a: 1\n\x04\nb: 2\n"), HasSubstr("my.yml: line 2: the byte 0x04"));
  EXPECT_THAT(mistake("a: \xff\n"), HasSubstr("my.yml: line 1: not UTF-8"));
  EXPECT_THAT(mistake("? [a]\n: 1\n"), HasSubstr("line 1: a key must be a word"));
  EXPECT_THAT(mistake("a: *b\n"), HasSubstr("my.yml: "));
  for (const char* text : {"", "# comment\n", "---\na: 1\n", "a: 1\n...\n", "a: 1", "a: |\n  x\n",
                           "a: \"two\n  lines\"", "a: &x 1\nb: *x\n", "\xef\xbb\xbf\x61: 1\n"}) {
    EXPECT_EQ(mistake(text), "accepted") << text;
  }
}

TEST(ParseYaml, BoundsSizeAndDepth) {
  EXPECT_THAT(mistake("a: &x [1, *x]\n"), HasSubstr("line 1: an alias inside of what it stands for"));
  EXPECT_THAT(mistake("a: &x\n  b: *x\n"), HasSubstr("line 2: an alias inside of what it stands for"));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    std::string from = "*a" + std::to_string(i - 1), to = "a" + std::to_string(i);
    bomb += to + ": &" + to + " [" + from + ", " + from + ", " + from + "]\n";
  }
  EXPECT_THAT(mistake(bomb), HasSubstr("aliases written out"));
  std::string text = "t: &t \"" + std::string(10000, 'x') + "\"\nl: [";
  for (int i = 0; i < 200; ++i) text += "*t, ";
  EXPECT_THAT(mistake(text + "*t]\n"), HasSubstr("aliases written out"));
  EXPECT_THAT(mistake("a: " + std::string(100000, '[')), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(mistake(std::string(100000, '{')), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(mistake(std::string(2 << 20, 'a')), HasSubstr("bytes of YAML"));
}

TEST(YamlText, ReadsBackToTheSameText) {
  for (const std::string& text : std::vector<std::string>{"plain", "true", "10", "", "a: b", "quote\" back\\slash",
                                                          "new\nline", "- x", "none", "~/jax_cache", "#x", "[a"}) {
    RawValue back = parse_yaml(yaml_text(KeyValue(text)), "test");
    EXPECT_EQ(back.text, text);
    EXPECT_EQ(back.kind, RawValue::Kind::kScalar) << text;
  }
}

TEST(YamlText, WritesNumbersThatKeepTheirTypeAndValue) {
  EXPECT_EQ(yaml_text(KeyValue(12.0)), "12.0");
  EXPECT_EQ(yaml_text(KeyValue(3e-5)), "3e-05");
  EXPECT_EQ(yaml_text(KeyValue(int64_t{12})), "12");
  EXPECT_EQ(yaml_text(KeyValue(std::vector<std::string>{"a", "b c"})), "[a, \"b c\"]");
}

TEST(FlowText, WritesNestedValues) {
  EXPECT_EQ(flow_text(parse_yaml("- [a, b]\n- {k: v}\n- null\n", "test")), "[[a, b], {k: v}, null]");
}

}  // namespace
}  // namespace fathom
