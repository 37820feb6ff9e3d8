// Filters that give a string or a number.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/filters.h"
#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {
namespace {

template <std::string (*F)(std::string_view)>
Value mapped(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "the filter", arguments, {});
  const std::string text = to_text(runtime, subject);
  runtime.step_bytes(8 * text.size());
  return runtime.text(F(text));
}

// Jinja's own title: words begin after white space, dashes and opening brackets.
std::string title_words(std::string_view text) {
  std::string out;
  bool begins = true;
  for (std::string_view c : characters(text)) {
    const bool between = c.find_first_of("-({[<") == 0 || is_space(decode_utf8(c.data()));
    out += between ? std::string(c) : begins ? upper(c) : lower(c);
    begins = between;
  }
  return out;
}

Value string_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "string", arguments, {});
  return as_text(subject) != nullptr ? subject : runtime.text(to_text(runtime, subject));
}

Value trim(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "trim", arguments, {"chars"});
  const std::string text = to_text(runtime, subject);
  const auto set = parameters.optional_text("chars");
  runtime.step_bytes(text.size() * (1 + (set ? set->size() : 0)));
  return runtime.text(std::string(strip(text, Side::kBoth, set)));
}

Value replace_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "replace", arguments, {"old", "new", "count"});
  const std::string old = to_text(runtime, parameters.required("old"));
  const std::string by = to_text(runtime, parameters.required("new"));
  return runtime.text(replace(runtime, to_text(runtime, subject), old, by, parameters.integer("count", -1)));
}

Value escape(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "escape", arguments, {});
  std::string out;
  for (char c : to_text(runtime, subject)) {
    constexpr std::string_view kMarks = "&<>'\"";
    constexpr std::string_view kNames[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const size_t mark = kMarks.find(c);
    out += mark == std::string_view::npos ? std::string_view(&c, 1) : kNames[mark];
  }
  return runtime.text(std::move(out));
}

Value indent(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "indent", arguments, {"width", "first", "blank"});
  if (is_undefined(subject)) runtime.fail_undefined(subject);
  const std::string* text = as_text(subject);
  if (text == nullptr) runtime.fail(fmt::format("indent() needs str, not {}", type_name(subject)));
  const Value* width = parameters.find("width");
  const std::string* given = width == nullptr ? nullptr : as_text(*width);
  const int64_t blanks = given != nullptr ? 0 : std::max<int64_t>(0, parameters.integer("width", 4));
  runtime.take(static_cast<size_t>(blanks));
  const std::string by = given != nullptr ? *given : std::string(static_cast<size_t>(blanks), ' ');
  runtime.give_back(by.size());
  const bool blank = parameters.boolean("blank", false);
  std::vector<std::string> lines = split_lines(*text + "\n", /*keep_ends=*/false);
  runtime.step_bytes(8 * text->size());
  const size_t most = text->size() + lines.size() * (by.size() + 1);
  runtime.take(most);
  std::string out = parameters.boolean("first", false) ? by : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += by;
    out += lines[i];
  }
  runtime.give_back(most);
  return runtime.text(std::move(out));
}

Value method_of_text(Runtime& runtime, const Value& subject, Arguments& arguments, const std::string& name) {
  const Value text = runtime.text(to_text(runtime, subject));
  return call(runtime, method(runtime, text, name), arguments);
}

Value center(Runtime& runtime, const Value& subject, Arguments& arguments) {
  if (arguments.positional.empty() && arguments.named.empty()) arguments.positional.emplace_back(Integer{80});
  return method_of_text(runtime, subject, arguments, "center");
}

Value format_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    runtime.fail("format: can't handle positional and keyword arguments at the same time");
  }
  Value values = runtime.list(arguments.positional, ListKind::kTuple);
  if (!arguments.named.empty()) {
    Dict* dict = runtime.dict();
    for (const auto& [name, value] : arguments.named) set_key(runtime, *dict, runtime.text(name), value);
    values = dict;
  }
  return runtime.text(percent_format(runtime, to_text(runtime, subject), values));
}

Value word_count(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "wordcount", arguments, {});
  static const CodePointBitmap words(word_set());
  Integer count = 0;
  bool inside = false;
  const std::string text = to_text(runtime, subject);
  for (std::string_view c : characters(text)) {
    const bool is_word = words.contains(decode_utf8(c.data()));
    count += is_word && !inside;
    inside = is_word;
  }
  return count;
}

Value truncate(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = parameters.integer("length", 255), leeway = parameters.integer("leeway", 5);
  const std::string end = parameters.text("end", "...");
  const auto end_length = static_cast<int64_t>(text_length(end));
  if (length < end_length || leeway < 0) runtime.fail("truncate(): a length or leeway that is too small");
  const auto present = length_of(subject);
  if (present && *present <= length + leeway) return subject;
  const std::string* text = as_text(subject);
  if (text == nullptr) runtime.fail(fmt::format("truncate() needs str, not {}", type_name(subject)));
  runtime.step_bytes(16 * text->size());
  size_t bytes = 0;
  for (int64_t i = 0; i < length - end_length; ++i) bytes += utf8_length((*text)[bytes]);
  std::string kept = text->substr(0, bytes);
  const size_t space = kept.rfind(' ');
  if (!parameters.boolean("killwords", false) && space != std::string::npos) kept.resize(space);
  return runtime.text(kept + end);
}

Value to_json_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = parameters.boolean("ensure_ascii", false);
  style.sort_keys = parameters.boolean("sort_keys", false);
  if (const Value* indent = parameters.find("indent"); indent != nullptr && !is_none(*indent)) {
    const int64_t width = as_text(*indent) != nullptr ? 0 : std::max<int64_t>(0, parameters.integer("indent", 0));
    runtime.take(static_cast<size_t>(width));
    style.indent = as_text(*indent) != nullptr ? *as_text(*indent) : std::string(static_cast<size_t>(width), ' ');
    runtime.give_back(static_cast<size_t>(width));
    style.item_separator = std::string(1, ',');
  }
  if (const Value* separators = parameters.find("separators"); separators != nullptr && !is_none(*separators)) {
    const std::vector<Value> two = items_of(runtime, *separators);
    if (two.size() != 2 || as_text(two[0]) == nullptr || as_text(two[1]) == nullptr) {
      runtime.fail("tojson(): separators are two strings");
    }
    style.item_separator = *as_text(two[0]);
    style.key_separator = *as_text(two[1]);
  }
  return runtime.text(to_json(runtime, subject, style));
}

// ---- Numbers ----

Integer truncated(Runtime& runtime, double d) {
  if (!std::isfinite(d)) runtime.fail("cannot convert a float that is not finite to integer");
  if (std::abs(d) >= 0x1p126) runtime.fail("an integer of more than 127 bits");
  return static_cast<Integer>(d);
}

// int(text, base); nothing where Python finds none.
std::optional<Integer> parse_integer(std::string_view text, int64_t base) {
  text = strip(text, Side::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  if (base == 8 && (text.starts_with("0o") || text.starts_with("0O"))) text.remove_prefix(2);
  if (base == 2 && (text.starts_with("0b") || text.starts_with("0B"))) text.remove_prefix(2);
  if (text.empty() || text.starts_with('_') || text.ends_with('_') || text.find("__") != std::string_view::npos) {
    return std::nullopt;
  }
  Integer out = 0;
  for (char c : text) {
    if (c == '_') continue;
    const char small = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9' ? c - '0' : small >= 'a' && small <= 'z' ? small - 'a' + 10 : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(out, Integer{base}, &out) || __builtin_add_overflow(out, Integer{digit}, &out)) {
      return std::nullopt;
    }
  }
  return negative ? -out : out;
}

// float(text).
std::optional<double> parse_float(std::string_view text) {
  std::string plain(strip(text, Side::kBoth));
  for (size_t i = plain.find('_'); i != std::string::npos; i = plain.find('_')) {
    const bool between = i > 0 && i + 1 < plain.size() && std::isdigit(static_cast<unsigned char>(plain[i - 1])) != 0 &&
                         std::isdigit(static_cast<unsigned char>(plain[i + 1])) != 0;
    if (!between) return std::nullopt;
    plain.erase(i, 1);
  }
  if (plain.empty() || plain.find_first_of("xXpP(") != std::string::npos || is_space(decode_utf8(plain.data()))) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double out = std::strtod(plain.c_str(), &end);
  return end == plain.c_str() + plain.size() ? std::optional(out) : std::nullopt;
}

Value int_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "int", arguments, {"default", "base"});
  if (is_undefined(subject)) runtime.fail_undefined(subject);
  const Value* given = parameters.find("default");
  const Value otherwise = given == nullptr ? Value(Integer{0}) : *given;
  if (const auto integer = as_integer(subject)) return *integer;
  if (const auto* d = std::get_if<double>(&subject)) return std::isfinite(*d) ? truncated(runtime, *d) : otherwise;
  const std::string* text = as_text(subject);
  if (text == nullptr) return otherwise;
  const int64_t base = parameters.integer("base", 10);
  if (base < 2 || base > 36) runtime.fail("int(): a base is 2 to 36");
  if (const auto integer = parse_integer(*text, base)) return *integer;
  const auto number = parse_float(*text);
  return number && std::isfinite(*number) ? truncated(runtime, *number) : otherwise;
}

Value float_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "float", arguments, {"default"});
  if (is_undefined(subject)) runtime.fail_undefined(subject);
  const Value* given = parameters.find("default");
  if (const auto number = as_number(subject)) return *number;
  const std::string* text = as_text(subject);
  const auto number = text == nullptr ? std::nullopt : parse_float(*text);
  if (number) return *number;
  return given == nullptr ? Value(0.0) : *given;
}

Value abs_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "abs", arguments, {});
  if (const auto* d = std::get_if<double>(&subject)) return std::abs(*d);
  if (is_undefined(subject)) runtime.fail_undefined(subject);
  const auto integer = as_integer(subject);
  if (!integer) runtime.fail(fmt::format("bad operand type for abs(): '{}'", type_name(subject)));
  return *integer < 0 ? unary(runtime, "-", *integer) : *integer;
}

Value round_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "round", arguments, {"precision", "method"});
  const std::string method = parameters.text("method", "common");
  const int64_t precision = parameters.integer("precision", 0);
  if (method != "common" && method != "ceil" && method != "floor") {
    runtime.fail("round(): method must be common, ceil or floor");
  }
  if (is_undefined(subject)) runtime.fail_undefined(subject);
  const auto number = as_number(subject);
  if (!number) runtime.fail(fmt::format("round() needs a number, not {}", type_name(subject)));
  if (precision < -300 || precision > 300) runtime.fail("round(): a precision beyond 300 digits");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method != "common") {
    const double scaled = *number * scale;
    return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
  }
  if (const auto integer = as_integer(subject); integer && precision >= 0) return *integer;
  if (precision < 0) {
    // Half to even, as Python.
    const double rounded = std::nearbyint(*number * scale) / scale;
    return as_integer(subject) ? Value(truncated(runtime, std::round(rounded))) : Value(rounded);
  }
  return std::strtod(fmt::format("{:.{}f}", *number, precision).c_str(), nullptr);
}

constexpr FilterRow kFilters[] = {
    {"upper", mapped<upper>},
    {"lower", mapped<lower>},
    {"capitalize", mapped<capitalize>},
    {"title", mapped<title_words>},
    {"string", string_filter},
    {"safe", string_filter},
    {"trim", trim},
    {"replace", replace_filter},
    {"escape", escape},
    {"e", escape},
    {"forceescape", escape},
    {"indent", indent},
    {"center", center},
    {"format", format_filter},
    {"wordcount", word_count},
    {"truncate", truncate},
    {"tojson", to_json_filter},
    {"int", int_filter},
    {"float", float_filter},
    {"abs", abs_filter},
    {"round", round_filter},
};

}  // namespace

std::span<const FilterRow> text_filters() { return kFilters; }

}  // namespace fathom::jinja
