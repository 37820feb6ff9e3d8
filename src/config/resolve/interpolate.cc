#include "config/resolve/interpolate.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "config/keys/typed_value.h"

namespace fathom {

namespace {

constexpr size_t kMostExpansions = 1000;
constexpr size_t kMostText = 65536;
constexpr std::string_view kOpen = "${";
constexpr std::string_view kEscaped = "\\${";
constexpr std::string_view kVariable = "oc.env:";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Where the brace that is open at `at` closes.
size_t closing(std::string_view text, size_t at) {
  size_t open = 1;
  for (; at < text.size(); ++at) {
    if (text[at] == '{') ++open;
    if (text[at] == '}' && --open == 0) return at;
  }
  throw ConfigError("'${' is not closed by '}' (\\${ stands for the two characters themselves)");
}

// The comma between a variable's name and its default, or npos.
size_t top_level_comma(std::string_view text) {
  size_t open = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '{') ++open;
    if (text[at] == '}') --open;
    if (text[at] == ',' && open == 0) return at;
  }
  return std::string_view::npos;
}

RawValue plain(std::string_view text) {
  RawValue out;
  out.kind = RawValue::Kind::kScalar;
  out.text = text;
  return out;
}

// Python's str() of a value.
std::string python_text(const KeyValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return "None";
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "True" : "False";
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return yaml_text(value);
}

}  // namespace

RawValue Interpolation::value(const RawValue& raw) {
  RawValue out = raw;
  if (raw.kind == RawValue::Kind::kScalar) out = scalar(raw);
  for (RawValue& item : out.items) item = value(item);
  for (auto& [name, field] : out.fields) field = value(field);
  out.line = raw.line;
  return out;
}

RawValue Interpolation::scalar(const RawValue& raw) {
  const std::string& text = raw.text;
  if (text.find(kOpen) == std::string::npos) return raw;
  if (text.starts_with(kOpen) && closing(text, kOpen.size()) == text.size() - 1) {
    return expression(std::string_view(text).substr(kOpen.size(), text.size() - kOpen.size() - 1));
  }
  RawValue out = raw;
  out.text.clear();
  for (size_t at = 0; at < text.size();) {
    std::string_view rest = std::string_view(text).substr(at);
    if (rest.starts_with(kEscaped)) {
      out.text += kOpen;
      at += kEscaped.size();
    } else if (rest.starts_with(kOpen)) {
      size_t end = closing(rest, kOpen.size());
      out.text += text_of(rest.substr(kOpen.size(), end - kOpen.size()));
      at += end + 1;
    } else {
      out.text += text[at++];
    }
    if (out.text.size() > kMostText) throw ConfigError(fmt::format("makes a text of more than {} bytes", kMostText));
  }
  return out;
}

RawValue Interpolation::expression(std::string_view text) {
  if (++expansions_ > kMostExpansions) throw ConfigError(fmt::format("takes more than {} values", kMostExpansions));
  text = trimmed(text);
  if (text.starts_with(kVariable)) return of_variable(text.substr(kVariable.size()));
  std::string key = scalar(plain(text)).text;
  if (key.find(':') != std::string::npos) {
    throw ConfigError(fmt::format("'${{{}}}' is not understood: ${{key}} and ${{oc.env:NAME,default}} are", key));
  }
  return of_key(key);
}

RawValue Interpolation::of_variable(std::string_view arguments) {
  size_t comma = top_level_comma(arguments);
  std::string name = scalar(plain(trimmed(arguments.substr(0, comma)))).text;
  if (auto found = environment_.find(name); found != environment_.end()) return plain(found->second);
  if (comma == std::string_view::npos) {
    throw ConfigError(fmt::format("the environment variable {} is not set", name));
  }
  std::string_view otherwise = trimmed(arguments.substr(comma + 1));
  if (otherwise.find(kOpen) != std::string_view::npos) return scalar(plain(otherwise));
  return parse_yaml(std::string(otherwise), "default of " + name);
}

RawValue Interpolation::of_key(const std::string& key) {
  const KeyRow* row = find_key(key);
  if (row == nullptr) {
    std::vector<std::string> near = nearest_keys(key);
    throw ConfigError(fmt::format("'${{{}}}' names no key{}", key,
                                  near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", "))));
  }
  if (is_secret(key)) throw ConfigError(fmt::format("'${{{}}}' would show a secret", key));
  if (std::find(under_way_.begin(), under_way_.end(), key) != under_way_.end()) {
    under_way_.push_back(key);
    throw ConfigError(fmt::format("a key stands for itself: {}", fmt::join(under_way_, " -> ")));
  }
  under_way_.push_back(key);
  const Setting* setting = find_setting(settings_, key);
  RawValue out = setting == nullptr ? parse_yaml(std::string(row->default_text), key) : value(setting->raw);
  under_way_.pop_back();
  return out;
}

std::string Interpolation::text_of(std::string_view text) {
  RawValue part = expression(text);
  if (part.kind == RawValue::Kind::kList || part.kind == RawValue::Kind::kMap) {
    throw ConfigError(fmt::format("'${{{}}}' is a list, which has no place inside a text", text));
  }
  const KeyRow* row = find_key(trimmed(text));
  return row == nullptr ? python_text(part.kind == RawValue::Kind::kNull ? KeyValue() : KeyValue(part.text))
                        : python_text(typed_value(*row, part));
}

}  // namespace fathom
