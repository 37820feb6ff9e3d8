// Cuts a template into texts and the tokens of its tags.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/value.h"

namespace fathom::jinja {

struct Token {
  enum class Kind : uint8_t {
    kText,
    kBlockBegin,
    kBlockEnd,
    kVariableBegin,
    kVariableEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };

  Kind kind = Kind::kEnd;
  int line = 0;
  std::string text;  // of a text, a name, an operator; a string without its quotes and escapes
  Integer integer = 0;
  double number = 0;

  bool is(Kind k, std::string_view t) const { return kind == k && text == t; }
  bool is_operator(std::string_view t) const { return is(Kind::kOperator, t); }
  bool is_name(std::string_view t) const { return is(Kind::kName, t); }
};

// Jinja's tokens with the white space that transformers asks for: `trim_blocks` and `lstrip_blocks`. The last one is
// kEnd. Throws FormatError with the line; `name` is how messages call the template.
std::vector<Token> tokenize(std::string_view source, const std::string& name);

[[noreturn]] void fail_at(const std::string& name, int line, const std::string& message);

}  // namespace fathom::jinja
