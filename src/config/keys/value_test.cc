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
