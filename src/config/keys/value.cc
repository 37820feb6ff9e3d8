#include "config/keys/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
namespace fathom {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  if (!out.empty() && out[0] == '+') out.erase(0, 1);
  return out;
}

// YAML 1.1's integers of another base, without underscores: 010, 0x1f, 0b11.
bool parse_based(std::string_view digits, int64_t& out) {
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  if (digits.size() < 2 || digits[0] != '0') return false;
  int base = digits[1] == 'x' ? 16 : digits[1] == 'b' ? 2 : 8;
  digits.remove_prefix(base == 8 ? 1 : 2);
  auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  if (fault != std::errc() || end != digits.data() + digits.size() || digits.starts_with('-')) return false;
  if (negative) out = -out;
  return true;
}

// Plain where YAML reads the plain text back as the same string, double quotes otherwise.
std::string quote(const std::string& text) {
  bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/';
  });
  bool flag;
  double number;
  plain = plain && text[0] != '-' && lower(text) != "none" && lower(text) != "null" && !parse_bool(text, flag) &&
          !parse_float(text, number);
  if (plain) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <class Items, class Text>
std::string flow_list(const Items& items, Text text) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ", ";
    out += text(item);
  }
  return out + "]";
}

std::string number_text(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::string text = fmt::format("{}", value);
  bool integral = text.find_first_of(".e") == std::string::npos;
  return integral ? text + ".0" : text;
}

}  // namespace

bool RawValue::is_none() const { return kind == Kind::kNull || (kind == Kind::kScalar && lower(text) == "none"); }

std::string flow_text(const RawValue& value) {
  switch (value.kind) {
    case RawValue::Kind::kNull:
      return "null";
    case RawValue::Kind::kScalar:
      return value.quoted ? quote(value.text) : value.text;
    case RawValue::Kind::kList:
      return flow_list(value.items, flow_text);
    case RawValue::Kind::kMap:
      break;
  }
  std::string out = "{";
  for (const auto& [name, field] : value.fields) {
    if (out.size() > 1) out += ", ";
    out += name + ": " + flow_text(field);
  }
  return out + "}";
}

std::string yaml_text(const KeyValue& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return number_text(v); }
    std::string operator()(const std::string& v) const { return quote(v); }
    std::string operator()(const std::vector<std::string>& v) const { return flow_list(v, quote); }
    std::string operator()(const std::vector<AxisRule>& v) const {
      return flow_list(v, [this](const AxisRule& rule) {
        return fmt::format("[{}, {}]", quote(rule.logical), (*this)(rule.mesh_axes));
      });
    }
  };
  return std::visit(Visitor{}, value);
}

bool parse_bool(std::string_view text, bool& out) {
  std::string word = lower(text);
  for (const char* yes : {"true", "yes", "y", "t", "on", "1"}) {
    if (word == yes) return out = true, true;
  }
  for (const char* no : {"false", "no", "n", "f", "off", "0"}) {
    if (word == no) return out = false, true;
  }
  return false;
}

bool parse_int(std::string_view text, int64_t& out, Spelling spelling) {
  std::string digits = without_underscores(text);
  if (spelling == Spelling::kYaml && parse_based(digits, out)) return true;
  auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (fault == std::errc() && end == digits.data() + digits.size()) return true;
  double number;
  constexpr double kExact = 9007199254740992.0;  // 2^53: every integer up to here is a double
  if (!parse_float(text, number, Spelling::kPython) || number != std::floor(number) || std::abs(number) > kExact)
    return false;
  out = static_cast<int64_t>(number);
  return true;
}

bool parse_float(std::string_view text, double& out, Spelling spelling) {
  std::string digits = without_underscores(lower(text));
  if (int64_t whole; spelling == Spelling::kYaml && parse_based(digits, whole)) {
    out = static_cast<double>(whole);
    return true;
  }
  if (digits == ".inf" || digits == "-.inf" || digits == ".nan") digits.erase(digits.find('.'), 1);
  auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return !digits.empty() && fault == std::errc() && end == digits.data() + digits.size();
}

}  // namespace fathom
