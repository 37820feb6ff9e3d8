// "%s" % value and "{}".format(value).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "chat/python_text.h"

namespace fathom::jinja {
namespace {

struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =, 0: the type's own
  char sign = '-';
  bool alternate = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = 0;
};

constexpr int64_t kMaxWidth = 1'000'000;

std::string digits_of(Integer value, int base, bool large) {
  std::string out;
  do {
    const int digit = static_cast<int>(value % base);
    out += static_cast<char>(digit < 10 ? '0' + digit : (large ? 'A' : 'a') + digit - 10);
    value /= base;
  } while (value != 0);
  std::ranges::reverse(out);
  return out;
}

// Digits, with the mark of their base where the spec asks for it.
std::string integer_digits(Integer magnitude, const Spec& spec) {
  switch (spec.type) {
    case 'x':
    case 'X':
      return (spec.alternate ? std::string("0") + spec.type : "") + digits_of(magnitude, 16, spec.type == 'X');
    case 'o':
      return (spec.alternate ? "0o" : "") + digits_of(magnitude, 8, false);
    case 'b':
      return (spec.alternate ? "0b" : "") + digits_of(magnitude, 2, false);
    default:
      return integer_text(magnitude);
  }
}

std::string float_digits(double magnitude, const Spec& spec) {
  if (std::isnan(magnitude)) return "nan";
  if (std::isinf(magnitude)) return "inf";
  const char pattern[] = {'%', '.', '*', spec.type == '%' ? 'f' : spec.type, 0};
  const int precision = static_cast<int>(spec.precision.value_or(6));
  const double value = spec.type == '%' ? magnitude * 100 : magnitude;
  const int size = std::snprintf(nullptr, 0, pattern, precision, value);
  std::string out(static_cast<size_t>(size), '\0');
  std::snprintf(out.data(), out.size() + 1, pattern, precision, value);
  return spec.type == '%' ? out + "%" : out;
}

std::string padded(Runtime& runtime, const std::string& sign, const std::string& text, const Spec& spec, char own) {
  const auto length = static_cast<int64_t>(text_length(sign) + text_length(text));
  const int64_t missing = std::max<int64_t>(0, spec.width - length);
  runtime.step(missing);
  const char align = spec.align == 0 ? own : spec.align;
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string left, right;
  for (int64_t i = 0; i < before; ++i) left += spec.fill;
  for (int64_t i = before; i < missing; ++i) right += spec.fill;
  return align == '=' ? sign + left + text : left + sign + text + right;
}

std::string sign_of(bool negative, const Spec& spec) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string format_number(Runtime& runtime, const Value& value, Spec spec) {
  const auto integer = as_integer(value);
  const bool integral =
      spec.type == 'd' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b';
  if (integer && (integral || spec.type == 0)) {
    const std::string digits = integer_digits(*integer < 0 ? -*integer : *integer, spec);
    return padded(runtime, sign_of(*integer < 0, spec), digits, spec, '>');
  }
  const double number = *as_number(value);
  const bool negative = std::signbit(number) && !std::isnan(number);
  std::string digits;
  if (spec.type == 0 && !spec.precision) {
    digits = float_text(std::abs(number));
  } else {
    if (spec.type == 0) spec.type = 'g';
    digits = float_digits(std::abs(number), spec);
  }
  return padded(runtime, sign_of(negative, spec), digits, spec, '>');
}

std::string format_text(Runtime& runtime, std::string text, const Spec& spec) {
  if (spec.precision && *spec.precision < static_cast<int64_t>(text_length(text))) {
    std::string cut;
    for (std::string_view c : characters(text)) {
      if (static_cast<int64_t>(text_length(cut)) >= std::min(*spec.precision, kMaxWidth)) break;
      cut += c;
    }
    text = cut;
  }
  return padded(runtime, "", text, spec, '<');
}

// Reads a format string from the front.
class Reader {
 public:
  Reader(Runtime& runtime, std::string_view text) : runtime_(runtime), text_(text) {}
  bool ended() const { return at_ >= text_.size(); }
  char peek() const { return ended() ? '\0' : text_[at_]; }
  char next() {
    if (ended()) runtime_.fail("incomplete format");
    return text_[at_++];
  }
  bool skip(char c) {
    if (peek() != c || ended()) return false;
    ++at_;
    return true;
  }
  std::string until(std::string_view ends) {
    const size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    std::string out(text_.substr(at_, end - at_));
    at_ = end;
    return out;
  }
  std::optional<int64_t> number() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    int64_t out = 0;
    while (peek() >= '0' && peek() <= '9') {
      out = out * 10 + (next() - '0');
      if (out > kMaxWidth) runtime_.fail("a width or precision of more than a million");
    }
    return out;
  }
  std::string_view rest() const { return text_.substr(at_); }
  void advance(size_t bytes) { at_ += bytes; }

 private:
  Runtime& runtime_;
  std::string_view text_;
  size_t at_ = 0;
};

// The values of a format with percent signs, one after the other.
class Values {
 public:
  Values(Runtime& runtime, const Value& value) : runtime_(runtime), whole_(value) {
    const List* list = as<List>(value);
    is_tuple_ = list != nullptr && list->kind == ListKind::kTuple;
    if (is_tuple_) items_ = list->items;
    if (!is_tuple_) items_ = {value};
  }
  Value next() {
    if (at_ >= items_.size()) runtime_.fail("not enough arguments for format string");
    return items_[at_++];
  }
  Value named(const std::string& key) {
    const Dict* dict = as<Dict>(whole_);
    if (dict == nullptr) runtime_.fail("format requires a mapping");
    by_name_ = true;
    const Value* found = find_key(runtime_, *dict, runtime_.text(key));
    if (found == nullptr) runtime_.fail(fmt::format("format: there is no '{}'", key));
    return *found;
  }
  void finish() const {
    // What has elements by key or number may be left over.
    const bool mapping =
        is_undefined(whole_) || as<Dict>(whole_) != nullptr || (as<List>(whole_) != nullptr && !is_tuple_);
    if (at_ < items_.size() && !mapping && !by_name_) {
      runtime_.fail("not all arguments converted during string formatting");
    }
  }

 private:
  Runtime& runtime_;
  const Value& whole_;
  std::vector<Value> items_;
  size_t at_ = 0;
  bool is_tuple_ = false, by_name_ = false;
};

std::string percent_value(Runtime& runtime, const Value& value, Spec spec) {
  constexpr std::string_view kIntegers = "diuoxX", kFloats = "eEfFgG";
  if (spec.type == 's')
    return padded(runtime, "", format_text(runtime, to_text(runtime, value), {.precision = spec.precision}), spec, '>');
  if (spec.type == 'r' || spec.type == 'a') {
    return padded(runtime, "", format_text(runtime, repr(runtime, value), {.precision = spec.precision}), spec, '>');
  }
  const bool integral = kIntegers.find(spec.type) != std::string_view::npos;
  if (!integral && kFloats.find(spec.type) == std::string_view::npos) {
    runtime.fail(fmt::format("unsupported format character '{}'", spec.type));
  }
  if (!as_number(value))
    runtime.fail(fmt::format("%{} format: a number is required, not {}", spec.type, type_name(value)));
  if (!integral) return format_number(runtime, value, spec);
  const auto* d = std::get_if<double>(&value);
  if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
  if (d == nullptr) return format_number(runtime, value, spec);
  if (spec.type != 'd' || !(std::abs(*d) < 0x1p126)) runtime.fail("a format of integers, and a float");
  return format_number(runtime, static_cast<Integer>(*d), spec);
}

}  // namespace

std::string percent_format(Runtime& runtime, const std::string& format, const Value& value) {
  Reader in(runtime, format);
  Values values(runtime, value);
  std::string out;
  while (!in.ended()) {
    out += in.until("%");
    if (in.ended()) break;
    in.next();
    if (in.skip('%')) {
      out += '%';
      continue;
    }
    std::optional<Value> named;
    if (in.skip('(')) {
      named = values.named(in.until(")"));
      in.next();
    }
    Spec spec;
    bool zero = false;
    while (std::string_view("#0- +").find(in.peek()) != std::string_view::npos && !in.ended()) {
      const char flag = in.next();
      if (flag == '#') spec.alternate = true;
      if (flag == '0') zero = true;
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
    }
    spec.width = in.number().value_or(0);
    if (in.skip('.')) spec.precision = in.number().value_or(0);
    spec.type = in.next();
    if (zero && spec.align == 0 && std::string_view("sra").find(spec.type) == std::string_view::npos) {
      spec.fill = "0";
      spec.align = '=';
    }
    const Value one = named ? *named : values.next();
    if (is_undefined(one) && spec.type != 's' && spec.type != 'r') runtime.fail_undefined(one);
    const std::string part = percent_value(runtime, one, spec);
    runtime.step_bytes(part.size());
    runtime.check_output(out.size() + part.size());
    out += part;
  }
  values.finish();
  return out;
}

namespace {

Spec read_spec(Runtime& runtime, std::string_view text) {
  Reader in(runtime, text);
  Spec spec;
  constexpr std::string_view kAligns = "<>^=";
  const std::vector<std::string_view> parts = characters(text);
  if (parts.size() > 1 && kAligns.find(parts[1]) != std::string_view::npos) {
    spec.fill = parts[0];
    in.advance(parts[0].size());
    spec.align = in.next();
  } else if (!in.ended() && kAligns.find(in.peek()) != std::string_view::npos) {
    spec.align = in.next();
  }
  if (in.peek() == '+' || in.peek() == '-' || in.peek() == ' ') spec.sign = in.next();
  if (in.skip('#')) spec.alternate = true;
  if (in.peek() == '0' && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = in.number().value_or(0);
  if (in.skip('.')) {
    spec.precision = in.number();
    if (!spec.precision) runtime.fail("format specifier missing precision");
  }
  if (!in.ended()) spec.type = in.next();
  if (!in.ended() || std::string_view("\0sdxXobeEfFgG%", 14).find(spec.type) == std::string_view::npos) {
    runtime.fail(fmt::format("format specifier '{}' is not supported", text));
  }
  return spec;
}

std::string brace_value(Runtime& runtime, const Value& value, char conversion, std::string_view spec_text) {
  const Spec spec = read_spec(runtime, spec_text);
  if (conversion == 'r') return format_text(runtime, repr(runtime, value), spec);
  const bool number = as_number(value).has_value() && conversion == 0;
  const bool boolean = std::holds_alternative<bool>(value) && spec.type == 0;
  if (number && spec.type != 's' && (!boolean || !spec_text.empty())) {
    const bool integral = std::string_view("dxXob").find(spec.type) != std::string_view::npos;
    if (integral && spec.type != 0 && !as_integer(value)) runtime.fail("a format of integers, and a float");
    return format_number(runtime, value, spec);
  }
  const bool text = as_text(value) != nullptr || conversion == 's' || spec_text.empty();
  if (!text || (spec.type != 0 && spec.type != 's')) {
    runtime.fail(fmt::format("format specifier '{}' does not fit {}", spec_text, type_name(value)));
  }
  return format_text(runtime, to_text(runtime, value), spec);
}

const Value& argument_of(Runtime& runtime, const Arguments& arguments, const std::string& field, size_t& automatic) {
  const bool is_index = field.empty() || field.find_first_not_of("0123456789") == std::string::npos;
  if (is_index && field.size() < 9) {
    const size_t index = field.empty() ? automatic++ : std::stoul(field);
    if (index >= arguments.positional.size()) runtime.fail("format(): more places than arguments");
    return arguments.positional[index];
  }
  const auto found = std::ranges::find(arguments.named, field, [](const auto& item) { return item.first; });
  if (found == arguments.named.end()) runtime.fail(fmt::format("format(): there is no '{}'", field));
  return found->second;
}

}  // namespace

std::string brace_format(Runtime& runtime, const std::string& format, const Arguments& arguments) {
  Reader in(runtime, format);
  std::string out;
  size_t automatic = 0;
  while (!in.ended()) {
    out += in.until("{}");
    if (in.ended()) break;
    const char brace = in.next();
    if (in.skip(brace)) {
      out += brace;
      continue;
    }
    if (brace == '}') runtime.fail("Single '}' encountered in format string");
    const std::string field = in.until("!:}");
    char conversion = 0;
    if (in.skip('!')) conversion = in.next();
    if (conversion != 0 && conversion != 's' && conversion != 'r') runtime.fail("format(): conversions are !s and !r");
    const std::string spec = in.skip(':') ? in.until("}") : "";
    if (!in.skip('}')) runtime.fail("expected '}' before end of string");
    const Value& value = argument_of(runtime, arguments, field, automatic);
    const std::string part = brace_value(runtime, value, conversion, spec);
    runtime.step_bytes(part.size());
    runtime.check_output(out.size() + part.size());
    out += part;
  }
  return out;
}

}  // namespace fathom::jinja
