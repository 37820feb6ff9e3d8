#include "chat/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {

void fail_at(const std::string& name, int line, const std::string& message) {
  throw FormatError(name, fmt::format("line {}: {}", line, message));
}

namespace {

using Kind = Token::Kind;

// \r\n and \r become \n; one line feed at the end goes.
std::string normalized(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string source, const std::string& name) : source_(std::move(source)), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) outside();
    push(Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { fail_at(name_, line_, message); }
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool follows(std::string_view text) const { return rest().starts_with(text); }

  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }

  void skip_space() { advance(rest().size() - strip(rest(), Side::kLeft).size()); }

  void push(Kind kind, std::string text = "") {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
  }

  // From here, outside of tags, to behind the next tag, or to the end.
  void outside() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) break;
      const char kind = tag + 1 < source_.size() ? source_[tag + 1] : ' ';
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) return text_until(source_.size(), source_.size(), ' ', ' ');
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool has_sign = sign == '-' || sign == '+';
    text_until(tag, tag + (has_sign ? 3 : 2), kind, sign);
    if (kind == '#') return comment();
    if (kind == '%' && raw()) return;
    inside(kind == '{' ? Kind::kVariableBegin : Kind::kBlockBegin);
  }

  // The text before a tag, as the tag's sign and place leave it.
  void text_until(size_t end, size_t next, char kind, char sign) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, Side::kRight);
    } else if (sign != '+' && kind != '{' && kind != ' ') {
      text = without_indent(text);
    }
    if (!text.empty()) push(Kind::kText, std::string(text));
    advance(next - at_);
  }

  // lstrip_blocks: white space between the beginning of the line and the tag goes.
  std::string_view without_indent(std::string_view text) const {
    const size_t feed = text.rfind('\n');
    if (feed == std::string_view::npos && !line_starting_) return text;
    const size_t line = feed == std::string_view::npos ? 0 : feed + 1;
    return strip(text.substr(line), Side::kLeft).empty() ? text.substr(0, line) : text;
  }

  // Passes the end of a tag, `mark` with the sign that may stand before it; false when it is not here.
  bool tag_end(std::string_view mark, bool trim) {
    const size_t begin = at_;
    if (follows("-" + std::string(mark))) {
      advance(1 + mark.size());
      skip_space();
    } else if (trim && follows("+" + std::string(mark))) {
      advance(1 + mark.size());
    } else if (follows(mark)) {
      advance(mark.size());
      if (trim && follows("\n")) advance(1);
    } else {
      return false;
    }
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
    return true;
  }

  void comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail("a comment {# without #}");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    advance(end - at_ - (sign == '-' || sign == '+' ? 1 : 0));
    tag_end("#}", /*trim=*/true);
  }

  // {% raw %} ... {% endraw %}; false when this tag is another one.
  bool raw() {
    const size_t begin = at_;
    const int line = line_;
    const auto give_up = [&] {
      at_ = begin;
      line_ = line;
      return false;
    };
    skip_space();
    if (!follows("raw")) return give_up();
    advance(3);
    skip_space();
    if (follows("+%}") || !tag_end("%}", /*trim=*/false)) return give_up();
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      const size_t after = tag + (sign == '-' || sign == '+' ? 3 : 2);
      const std::string_view word = strip(std::string_view(source_).substr(after), Side::kLeft);
      if (!word.starts_with("endraw")) continue;
      const std::string_view end = strip(word.substr(6), Side::kLeft);
      if (!end.starts_with("%}") && !end.starts_with("-%}") && !end.starts_with("+%}")) continue;
      text_until(tag, source_.size() - end.size(), '%', sign);
      return tag_end("%}", /*trim=*/true);
    }
    fail("{% raw %} without {% endraw %}");
  }

  void inside(Kind begin) {
    push(begin);
    const bool block = begin == Kind::kBlockBegin;
    const int first_line = line_;
    while (true) {
      skip_space();
      if (at_ >= source_.size()) {
        line_ = first_line;
        fail(block ? "a tag {% without %}" : "an expression {{ without }}");
      }
      // Inside of brackets }} ends objects.
      if (open_.empty() && tag_end(block ? "%}" : "}}", block)) {
        push(block ? Kind::kBlockEnd : Kind::kVariableEnd);
        return;
      }
      token();
    }
  }

  void token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return string();
    if (is_digit(c)) return number();
    if (static_cast<unsigned char>(c) >= 0x80 || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      return name();
    }
    symbol();
  }

  void name() {
    size_t end = at_;
    while (end < source_.size() && is_word(decode_utf8(&source_[end]))) end += utf8_length(source_[end]);
    if (end == at_) fail(fmt::format("unexpected character '{}'", rest().substr(0, utf8_length(source_[at_]))));
    push(Kind::kName, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  static bool is_word(uint32_t c) {
    static const CodePointBitmap words(word_set());
    return words.contains(c);
  }

  void symbol() {
    constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    const auto two = std::ranges::find_if(kTwo, [this](std::string_view t) { return follows(t); });
    if (two == std::end(kTwo) && kOne.find(source_[at_]) == std::string_view::npos) {
      fail(fmt::format("unexpected character '{}'", source_[at_]));
    }
    const std::string text(two == std::end(kTwo) ? rest().substr(0, 1) : *two);
    balance(text[0]);
    push(Kind::kOperator, text);
    advance(text.size());
  }

  void balance(char c) {
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (kOpen.find(c) != std::string_view::npos) open_ += c;
    const size_t closes = kClose.find(c);
    if (closes == std::string_view::npos) return;
    if (open_.empty()) fail(fmt::format("'{}' that nothing opened", c));
    if (open_.back() != kOpen[closes]) fail(fmt::format("'{}' where '{}' is open", c, open_.back()));
    open_.pop_back();
  }

  // Digits with single _ between them; returns where they end.
  size_t digits(size_t from) const {
    size_t end = from;
    while (end < source_.size() &&
           (is_digit(source_[end]) || (source_[end] == '_' && end > from && end + 1 < source_.size() &&
                                       is_digit(source_[end - 1]) && is_digit(source_[end + 1])))) {
      ++end;
    }
    return end;
  }

  void number() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    const size_t whole = digits(at_);
    size_t end = whole;
    if (!after_dot) {
      const size_t fraction = whole < source_.size() && source_[whole] == '.' ? digits(whole + 1) : whole;
      if (fraction > whole + 1) end = fraction;
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (digits(exponent) > exponent) end = digits(exponent);
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    if (end > whole) {
      push(Kind::kFloat);
      tokens_.back().number = std::strtod(text.c_str(), nullptr);
    } else {
      end = integer(text, whole);
    }
    advance(end - at_);
  }

  // Returns where it ends.
  size_t integer(std::string text, size_t end) {
    int base = 10;
    if (text == "0" && end < source_.size()) {
      const char mark = static_cast<char>(source_[end] | 0x20);
      base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    }
    if (base != 10) {
      size_t stop = end + 1;
      while (stop < source_.size() && (digit_of(source_[stop]) < base || source_[stop] == '_')) ++stop;
      text = source_.substr(end + 1, stop - end - 1);
      std::erase(text, '_');
      if (text.empty()) fail("a number without digits");
      end = stop;
    } else if (text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != std::string::npos) {
      fail(fmt::format("an integer that begins with 0: {}", text));
    }
    Integer value = 0;
    for (char c : text) {
      if (__builtin_mul_overflow(value, Integer{base}, &value) ||
          __builtin_add_overflow(value, Integer{digit_of(c)}, &value)) {
        fail("an integer of more than 127 bits");
      }
    }
    push(Kind::kInteger);
    tokens_.back().integer = value;
    return end;
  }

  static int digit_of(char c) {
    if (is_digit(c)) return c - '0';
    const char small = static_cast<char>(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : 99;
  }

  void string() {
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail(fmt::format("a string without its closing {}", quote));
    push(Kind::kString, unescaped(source_.substr(at_ + 1, end - at_ - 1)));
    advance(end + 1 - at_);
  }

  std::string unescaped(const std::string& text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        out += text[i];
      } else {
        i = escape(text, i + 1, out);
      }
    }
    return out;
  }

  // Appends the escape whose letter is at `i`; returns its last place.
  size_t escape(const std::string& text, size_t i, std::string& out) const {
    const char c = text[i];
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t found = kLetters.find(c); found != std::string_view::npos) {
      out += kMeanings[found];
      return i;
    }
    if (c == '\n') return i;
    if (c >= '0' && c <= '7') return code(text, i, 3, 8, out, /*exact=*/false);
    if (c == 'x') return code(text, i + 1, 2, 16, out, true);
    if (c == 'u') return code(text, i + 1, 4, 16, out, true);
    if (c == 'U') return code(text, i + 1, 8, 16, out, true);
    if (c == 'N') fail("characters by name (\\N) are not supported");
    out += '\\';
    out += c;
    return i;
  }

  size_t code(const std::string& text, size_t from, size_t most, int base, std::string& out, bool exact) const {
    uint32_t value = 0;
    size_t end = from;
    while (end < text.size() && end < from + most && digit_of(text[end]) < base) {
      value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit_of(text[end++]));
    }
    if (exact && end < from + most) fail("an escape in a string that is cut short");
    if (value > kMaxCodePoint || (value >= 0xd800 && value < 0xe000))
      fail("an escape in a string that is no character");
    append_utf8(out, value);
    return end - 1;
  }

  std::string source_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string open_;  // brackets
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& name) {
  return Lexer(normalized(source), name).run();
}

}  // namespace fathom::jinja
