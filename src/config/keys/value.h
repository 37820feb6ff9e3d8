// Values on their way into a Config: YAML trees without types, and the typed value of one key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace fathom {

struct RawField;

// A YAML node whose scalars are still text: their type is the key's, not the spelling's.
struct RawValue {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;     // of a scalar
  bool quoted = false;  // a string whatever it spells: quoted, or from the environment
  int line = 0;         // in its file, from 1; 0 = not from a file
  std::vector<RawValue> items;
  std::vector<RawField> fields;  // of a map, in the file's order

  // Null, or the word `none` in any case.
  bool is_none() const;
};

struct RawField {
  std::string name;
  RawValue value;
};

// One YAML document (yaml.cc). `origin` (a file's path, a key) and the line begin the ConfigError for text that is not
// YAML, or that says something twice.
RawValue parse_yaml(const std::string& text, const std::string& origin);
// The value in YAML's flow form: [a, b], {k: v}.
std::string flow_text(const RawValue& value);

// What a key holds once its type is known: none, bool, integer, number, text, list of texts, sharding rules.
using KeyValue =
    std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<std::string>, std::vector<AxisRule>>;

// The value as one line of YAML that reads back to the same value; doubles in the shortest decimals.
std::string yaml_text(const KeyValue& value);

// How a number is spelt: plain in YAML 1.1, where 010 is octal and 0x1f and 0b11 are numbers; or as Python's int() and
// float() read a text (quoted, or from the environment), where 010 is ten.
enum class Spelling : uint8_t { kYaml, kPython };

// Scalars in the spellings the peer accepts; false when the text is none of them.
bool parse_bool(std::string_view text, bool& out);  // true, yes, y, t, on, 1 and their opposites, in any case
bool parse_int(std::string_view text, int64_t& out, Spelling spelling = Spelling::kYaml);   // 10_000, -1, 1e4, 5.0
bool parse_float(std::string_view text, double& out, Spelling spelling = Spelling::kYaml);  // 1, 1_000.5, 3.e-5, inf

}  // namespace fathom
