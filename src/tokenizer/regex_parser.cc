#include "tokenizer/regex_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace fathom {

namespace {

// Larger counts would only serve to exhaust memory, as groups are copied.
constexpr uint32_t kMaxCount = 1000;
constexpr int kMaxDepth = 100;  // of groups in groups

bool is_ascii_letter(uint32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

class Parser {
 public:
  explicit Parser(std::string_view pattern) {
    if (find_invalid_utf8(pattern) != std::string_view::npos) throw RegexError("the pattern is not UTF-8");
    for (size_t i = 0; i < pattern.size(); i += utf8_length(pattern[i])) chars_.push_back(decode_utf8(&pattern[i]));
  }

  RegexAst parse() {
    RegexAst ast = parse_alternatives();
    if (!at_end()) fail("unmatched ')'");
    return ast;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { fail_at(at_, what); }
  [[noreturn]] void fail_at(size_t place, const std::string& what) const {
    throw RegexError(fmt::format("{} at character {} of the pattern", what, place + 1));
  }
  [[noreturn]] void unsupported(size_t begin) const {
    std::string text;
    for (size_t i = begin; i < std::min(at_ + 1, chars_.size()); ++i) append_utf8(text, chars_[i]);
    fail_at(begin, fmt::format("unsupported construct '{}'", text));
  }

  bool at_end() const { return at_ == chars_.size(); }
  bool peek(uint32_t c, size_t ahead = 0) const { return at_ + ahead < chars_.size() && chars_[at_ + ahead] == c; }
  bool take(uint32_t c) {
    if (!peek(c)) return false;
    ++at_;
    return true;
  }
  uint32_t next() {
    if (at_end()) fail("the pattern ends early");
    return chars_[at_++];
  }

  RegexAst parse_alternatives() {
    RegexAst out{.kind = RegexAst::Kind::kAlternatives};
    do {
      out.children.push_back(parse_sequence());
    } while (take('|'));
    return out.children.size() == 1 ? std::move(out.children[0]) : out;
  }

  RegexAst parse_sequence() {
    RegexAst out{.kind = RegexAst::Kind::kSequence};
    uint32_t last_literal = 0;
    while (!at_end() && !peek('|') && !peek(')')) {
      const size_t begin = at_;
      const uint32_t literal = is_ascii_letter(chars_[at_]) ? chars_[at_] | 0x20 : 0;
      if (ignore_case_) check_no_multi_character_fold(last_literal, literal, begin);
      last_literal = literal;
      out.children.push_back(parse_quantifier(parse_atom(), begin));
    }
    return out;
  }

  // Under (?i: Oniguruma lets "ss" match U+00DF and "st" a ligature: two letters one code point, which sets cannot say.
  void check_no_multi_character_fold(uint32_t a, uint32_t b, size_t place) const {
    if ((a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l'))) {
      fail_at(place, fmt::format("unsupported construct '{}{}' without case, which has a ligature,",
                                 static_cast<char>(a), static_cast<char>(b)));
    }
  }

  RegexAst parse_atom() {
    const size_t begin = at_;
    switch (const uint32_t c = next()) {
      case '(':
        return parse_group(begin);
      case '[':
        return set_ast(parse_class(begin));
      case '$':
        return RegexAst{.kind = RegexAst::Kind::kLineEnd};
      case '\\':
        return set_ast(parse_escape(begin));
      case '.':
      case '^':
        --at_;
        unsupported(begin);
      case '*':
      case '+':
      case '?':
        fail_at(begin, "a quantifier has nothing to repeat");
      default:
        return set_ast(literal_set(c, begin));
    }
  }

  RegexAst set_ast(CodePointSet set) const {
    RegexAst out{.kind = RegexAst::Kind::kSet};
    out.set = std::move(set);
    return out;
  }

  RegexAst parse_group(size_t begin) {
    const bool outer_ignore_case = ignore_case_;
    RegexAst out;
    bool look = false;
    if (take('?')) {
      look = peek('=') || peek('!');
      out.negated = peek('!');
      if (peek('i') && peek(':', 1)) {
        ignore_case_ = true;
        ++at_;
      } else if (!look && !peek(':')) {
        unsupported(begin);
      }
      ++at_;
    }
    if (++depth_ > kMaxDepth) fail_at(begin, fmt::format("more than {} groups in one another", kMaxDepth));
    RegexAst inner = parse_alternatives();
    --depth_;
    ignore_case_ = outer_ignore_case;
    if (!take(')')) fail_at(begin, "'(' without ')'");
    if (!look) return inner;
    out.kind = RegexAst::Kind::kLook;
    out.children.push_back(std::move(inner));
    return out;
  }

  RegexAst parse_quantifier(RegexAst atom, size_t begin) {
    RegexAst out{.kind = RegexAst::Kind::kRepeat};
    if (take('?')) {
      out.max = 1;
    } else if (take('*')) {
      out.max = kNoLimit;
    } else if (take('+')) {
      out.min = 1;
      out.max = kNoLimit;
    } else if (peek('{')) {
      parse_counts(out);
      if (peek('+')) unsupported(begin);
    } else {
      return atom;
    }
    out.possessive = take('+');
    if (peek('?') || peek('*') || peek('+') || peek('{')) unsupported(begin);
    const bool single = atom.kind == RegexAst::Kind::kSet;
    if (!single && (out.possessive || out.max == kNoLimit)) {
      --at_;
      unsupported(begin);
    }
    if (atom.kind == RegexAst::Kind::kLook || atom.kind == RegexAst::Kind::kLineEnd)
      fail_at(begin, "nothing to repeat");
    out.children.push_back(std::move(atom));
    return out;
  }

  // {n}, {n,}, {n,m}
  void parse_counts(RegexAst& out) {
    const size_t begin = at_++;
    auto number = [&]() -> std::optional<uint32_t> {
      if (at_end() || chars_[at_] < '0' || chars_[at_] > '9') return std::nullopt;
      uint32_t value = 0;
      while (!at_end() && chars_[at_] >= '0' && chars_[at_] <= '9') {
        value = std::min(value * 10 + (next() - '0'), kMaxCount + 1);
      }
      return value;
    };
    const auto min = number();
    if (!min) unsupported(begin);
    out.min = out.max = *min;
    if (take(',')) out.max = number().value_or(kNoLimit);
    if (!take('}')) unsupported(begin);
    if (out.max < out.min || out.max == 0) fail_at(begin, "a count that repeats nothing");
    if (out.min > kMaxCount || (out.max > kMaxCount && out.max != kNoLimit)) {
      fail_at(begin, fmt::format("a count over {}", kMaxCount));
    }
  }

  // After '['.
  CodePointSet parse_class(size_t begin) {
    const bool negated = take('^');
    CodePointSet set;
    // A ']' that comes first is a member in Oniguruma, with a warning; nobody writes it on purpose.
    if (peek(']')) fail_at(begin, "an empty class");
    while (!take(']')) {
      if (at_end()) fail_at(begin, "'[' without ']'");
      const size_t item = at_;
      if (peek('[') || (peek('&') && peek('&', 1))) {
        at_ += peek('&') ? 1 : 0;
        unsupported(item);
      }
      const uint32_t c = next();
      CodePointSet members = c == '\\' ? parse_escape(item) : literal_set(c, item);
      if (peek('-') && !peek(']', 1)) {
        ++at_;
        members = parse_range(item, members);
      }
      set.add(members);
    }
    return negated ? set.complement() : set;
  }

  // After "first-".
  CodePointSet parse_range(size_t begin, const CodePointSet& first) {
    if (peek('[')) unsupported(begin);
    const bool outer_ignore_case = std::exchange(ignore_case_, false);
    const uint32_t c = next();
    const CodePointSet last = c == '\\' ? parse_escape(begin) : literal_set(c, begin);
    ignore_case_ = outer_ignore_case;
    auto single = [](const CodePointSet& set) {
      return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
    };
    // Without case the ends are sets already.
    if (ignore_case_ || !single(first) || !single(last)) {
      --at_;
      unsupported(begin);
    }
    const uint32_t low = first.ranges()[0].first;
    const uint32_t high = last.ranges()[0].first;
    if (low > high) fail_at(begin, "a range whose end is before its start");
    return CodePointSet({{low, high}});
  }

  // After '\'.
  CodePointSet parse_escape(size_t begin) {
    switch (const uint32_t c = next()) {
      case 's':
        return white_space_set();
      case 'S':
        return white_space_set().complement();
      case 'd':
        return *category_set("Nd");
      case 'D':
        return category_set("Nd")->complement();
      case 'p':
      case 'P':
        return parse_property(begin, c == 'P');
      case 'x':
        return literal_set(parse_hex(begin, peek('{') ? 0 : 2), begin);
      case 'u':
        return literal_set(parse_hex(begin, 4), begin);
      default:
        return literal_set(simple_escape(c, begin), begin);
    }
  }

  uint32_t simple_escape(uint32_t c, size_t begin) const {
    static constexpr std::string_view kNames = "rntfvea";
    static constexpr std::string_view kValues = "\r\n\t\f\v\x1b\a";
    if (c < 0x80 && kNames.find(static_cast<char>(c)) != std::string_view::npos) {
      return static_cast<unsigned char>(kValues[kNames.find(static_cast<char>(c))]);
    }
    if (is_ascii_letter(c) || (c >= '0' && c <= '9') || c >= 0x80) {
      fail_at(begin, fmt::format("unsupported construct '\\{}'", to_text(c)));
    }
    return c;
  }

  static std::string to_text(uint32_t c) {
    std::string text;
    append_utf8(text, c);
    return text;
  }

  // \p{L}, \p{Lu}, \p{^L}, \P{L}
  CodePointSet parse_property(size_t begin, bool negated) {
    if (!take('{')) unsupported(begin);
    if (take('^')) negated = !negated;
    std::string name;
    while (!peek('}')) append_utf8(name, next());
    ++at_;
    const auto set = category_set(name);
    if (!set) {
      fail_at(begin,
              fmt::format("unsupported class '\\p{{{}}}' (general categories such as L, Lu, M, N, P, S are)", name));
    }
    if (ignore_case_) fail_at(begin, fmt::format("unsupported class '\\p{{{}}}' inside (?i:...)", name));
    return negated ? set->complement() : *set;
  }

  // `digits` hexadecimal digits, or {...} when it is 0.
  uint32_t parse_hex(size_t begin, int digits) {
    const bool braces = digits == 0;
    if (braces) ++at_;
    uint32_t value = 0;
    int count = 0;
    for (; braces ? !peek('}') : count < digits; ++count) {
      const uint32_t c = next();
      const uint32_t lower = c | 0x20;
      const bool decimal = c >= '0' && c <= '9';
      if (!decimal && (lower < 'a' || lower > 'f')) fail_at(begin, "an escape with a digit that is not hexadecimal");
      value = value * 16 + (decimal ? c - '0' : lower - 'a' + 10);
      if (value > kMaxCodePoint) fail_at(begin, "an escape above U+10FFFF");
    }
    if (braces) ++at_;
    if (count == 0) fail_at(begin, "an escape without digits");
    return value;
  }

  // One code point, or with (?i: its case variants: of ASCII letters also the long s and the Kelvin sign.
  CodePointSet literal_set(uint32_t c, size_t begin) const {
    CodePointSet set({{c, c}});
    if (!ignore_case_) return set;
    if (c >= 0x80) fail_at(begin, fmt::format("unsupported character '{}' inside (?i:...): not ASCII", to_text(c)));
    if (!is_ascii_letter(c)) return set;
    set.add(c ^ 0x20, c ^ 0x20);
    if ((c | 0x20) == 's') set.add(0x17f, 0x17f);
    if ((c | 0x20) == 'k') set.add(0x212a, 0x212a);
    return set;
  }

  std::vector<uint32_t> chars_;
  size_t at_ = 0;
  int depth_ = 0;
  bool ignore_case_ = false;
};

}  // namespace

RegexAst parse_regex(std::string_view pattern) { return Parser(pattern).parse(); }

}  // namespace fathom
