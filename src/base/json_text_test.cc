#include "base/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace fathom {
namespace {

TEST(DeepJson, BracketsInStringsOpenNothing) {
  EXPECT_EQ(find_deep_json(R"({"a[[[{": ["]\"[[[", {}]})", 3), std::string::npos);
  EXPECT_EQ(find_deep_json(R"([[], [[]], {"a": []}])", 3), std::string::npos);
  EXPECT_EQ(find_deep_json(R"([[], [[]], {"a": []}])", 2), 6u);
  EXPECT_EQ(find_deep_json(std::string(1000, '[')), 100u);
  EXPECT_EQ(find_deep_json("\"\\"), std::string::npos);
  EXPECT_EQ(find_deep_json("]]]["), std::string::npos);
}

// What is said of a text that is not taken, and where.
std::string refusal_of(const std::string& text) {
  const auto refusal = json_refusal(text);
  return refusal ? refusal->text + " at " + std::to_string(refusal->place) : "";
}

TEST(JsonRefusal, IsAKeyThatAnObjectHasTwice) {
  EXPECT_EQ(refusal_of(R"({"a": 1, "b": 2, "a": 3})"), "the key 'a' stands twice in one object at 17");
  EXPECT_EQ(refusal_of(R"([{"a": [{"b" : {}, "\u0062" :1}]}])"), "the key 'b' stands twice in one object at 19");
  EXPECT_EQ(refusal_of(R"({"a\"": 1, "a": ":", "a\"": 1})"), "the key 'a\"' stands twice in one object at 21");
  for (const char* text : {R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", R"({"a": "a", "b": "a"})", R"(["a", "a"])",
                           R"({"a": "{\"b\": 1, \"b\": 2}"})", "", "}", R"({"a": 1, "a)", R"({"a": 1}{"a": 1})"}) {
    EXPECT_EQ(refusal_of(text), "") << text;
  }
  EXPECT_EQ(refusal_of(std::string(1000, '[')), std::string(kDeepJson) + " at 100");
}

TEST(JsonRefusal, OfALineOrAFileNamesIt) {
  auto fault = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const FormatError& e) {
      return e.what();
    }
    return "";
  };
  const std::string twice = R"({"a": 1, "a": 3})";
  EXPECT_EQ(fault([&] { for_each_json_line("f.jsonl", "{}\n" + twice, [](int64_t, std::string_view) {}); }),
            "f.jsonl: line 2: the key 'a' stands twice in one object");
  EXPECT_EQ(fault([&] { require_plain_json("f.json", twice, 8); }),
            "f.json: at byte 17: the key 'a' stands twice in one object");
}

template <class F>
std::string mistake_of(const F& f) {
  try {
    f();
  } catch (const nlohmann::json::exception& e) {
    return json_line_mistake(e);
  }
  return "nothing";
}
std::string mistake_in(const std::string& text) {
  return mistake_of([&] { return nlohmann::json::parse(text); });
}

TEST(JsonMistake, SaysWhatIsWrongWithoutTheLibrarysNames) {
  EXPECT_EQ(mistake_in(R"({"text": x})"), "not JSON: at column 10: invalid literal");
  EXPECT_EQ(mistake_in(R"({"a": 1)"), "not JSON: at column 8: unexpected end of input; expected '}'");
  EXPECT_EQ(mistake_in(R"({"a - b: c": "d)"), "not JSON: at column 16: invalid string: missing closing quote");
  EXPECT_EQ(mistake_in("[1e999]"), "not JSON: number overflow parsing '1e999'");
  const nlohmann::json value = {{"a", nullptr}};
  EXPECT_EQ(mistake_of([&] { return value.at("a").get<std::string>(); }), "a value must be string, but is null");
  EXPECT_EQ(mistake_of([&] { return value.at("b"); }), "there is no 'b'");
}

TEST(JsonMistake, OfAFileHasItsPlace) {
  try {
    FAIL() << nlohmann::json::parse("{]");
  } catch (const nlohmann::json::exception& e) {
    try {
      throw_json_mistake("f.json", e, 8);
    } catch (const FormatError& error) {
      EXPECT_EQ(error.offset(), 9);
      EXPECT_EQ(error.what(), std::string("f.json: at byte 9: not JSON: unexpected ']'; expected string literal"));
    }
  }
}

}  // namespace
}  // namespace fathom
