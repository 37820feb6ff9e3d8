// Python's syntax of regular expressions (docs.python.org/3/library/re.html) in PCRE2's.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/python_regex.h"

namespace fathom {

namespace {

constexpr size_t kMaxPattern = 10'000;  // bytes
constexpr size_t kMaxDepth = 100;       // of groups in groups

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string translate() {
    if (in_.size() > kMaxPattern) fail(fmt::format("{} bytes long; {} are the most", in_.size(), kMaxPattern));
    while (at_ < in_.size()) step();
    if (!open_.empty()) fail_at(open_.back().place, "'(' without ')'");
    return std::move(out_);
  }

 private:
  // What a quantifier would repeat.
  enum class Last : uint8_t { kNothing, kItem, kRepeat };
  struct Group {
    size_t place;
    bool verbose;  // outside it
  };

  [[noreturn]] static void fail(const std::string& what) { throw PatternError(what); }
  [[noreturn]] static void fail_at(size_t place, const std::string& what) {
    fail(fmt::format("{} at position {}", what, place));
  }

  bool peek(char c, size_t ahead = 0) const { return at_ + ahead < in_.size() && in_[at_ + ahead] == c; }
  bool take(char c) {
    if (!peek(c)) return false;
    ++at_;
    return true;
  }

  void step() {
    const size_t place = at_;
    const char c = in_[at_++];
    if (verbose_ && (c == '#' || std::string_view(" \t\n\r\v\f").find(c) != std::string_view::npos)) {
      if (c == '#') at_ = std::min(in_.find('\n', at_), in_.size());
      return;
    }
    switch (c) {
      case '\\':
        return escape(place);
      case '[':
        return character_class(place);
      case '(':
        return group(place);
      case ')':
        return close(place);
      case '*':
        return repeat(place, "*");
      case '+':
        return repeat(place, "+");
      case '?':
        return repeat(place, "?");
      case '{':
        if (std::optional<std::string> counts = read_counts(place)) return repeat(place, *counts);
        return item("\\{");
      case '|':
      case '^':
      case '$':
        out_ += c;
        last_ = Last::kNothing;
        first_ = false;
        return;
      default:
        item(std::string_view(&c, 1));
    }
  }

  void item(std::string_view text) {
    out_ += text;
    last_ = Last::kItem;
    first_ = false;
  }

  void repeat(size_t place, std::string_view quantifier) {
    if (last_ == Last::kNothing) fail_at(place, "nothing to repeat");
    if (last_ == Last::kRepeat) fail_at(place, "multiple repeat");
    out_ += quantifier;
    if (take('?')) {
      out_ += '?';
    } else if (take('+')) {
      out_ += '+';
    }
    last_ = Last::kRepeat;
  }

  std::string digits() {
    const size_t begin = at_;
    while (at_ < in_.size() && is_digit(in_[at_])) ++at_;
    return std::string(in_.substr(begin, at_ - begin));
  }

  // After '{': the counts in PCRE2's spelling, or nothing where the brace is a character.
  std::optional<std::string> read_counts(size_t place) {
    if (peek('}')) return std::nullopt;
    const std::string least = digits();
    const bool range = take(',');
    const std::string most = range ? digits() : least;
    if (!take('}')) {
      at_ = place + 1;
      return std::nullopt;
    }
    if (least.empty() && most.empty()) return "*";
    return fmt::format("{{{}{}{}}}", least.empty() ? "0" : least, range ? "," : "", range ? most : "");
  }

  void group(size_t place) {
    if (open_.size() >= kMaxDepth) fail_at(place, fmt::format("more than {} groups in one another", kMaxDepth));
    const Group opened{place, verbose_};
    if (!take('?')) {
      ++groups_;
      out_ += '(';
    } else if (!extension(place)) {
      return;
    }
    open_.push_back(opened);
    last_ = Last::kNothing;
    first_ = false;
  }

  // After "(?"; false where it is whole already.
  bool extension(size_t place) {
    if (at_ == in_.size()) fail_at(place, "the pattern ends early");
    const char c = in_[at_++];
    if (c == 'P') return named(place);
    if (c == '#') {
      const size_t end = in_.find(')', at_);
      if (end == std::string_view::npos) fail_at(place, "a comment without ')'");
      at_ = end + 1;
      return false;
    }
    if (c == '(') {
      const std::string target = until(')', place);
      const bool number = !target.empty() && std::all_of(target.begin(), target.end(), is_digit);
      out_ += fmt::format("(?({})", number ? target : std::to_string(number_of(target, place)));
      return true;
    }
    if (c == '<' && (peek('=') || peek('!'))) {
      out_ += fmt::format("(?<{}", in_[at_++]);
      return true;
    }
    if (c == ':' || c == '=' || c == '!' || c == '>') {
      out_ += fmt::format("(?{}", c);
      return true;
    }
    if (is_letter(c) || c == '-') {
      --at_;
      return flags(place);
    }
    fail_at(place, fmt::format("'(?{}' is no extension that Python has", c));
  }

  std::string until(char end, size_t place) {
    const size_t stop = in_.find(end, at_);
    if (stop == std::string_view::npos) fail_at(place, fmt::format("'{}' is missing", end));
    std::string text(in_.substr(at_, stop - at_));
    at_ = stop + 1;
    return text;
  }

  int number_of(const std::string& name, size_t place) const {
    auto found = names_.find(name);
    if (found == names_.end()) fail_at(place, fmt::format("unknown group name '{}'", name));
    return found->second;
  }

  // "(?P<name>" opens a group, "(?P=name)" refers to it. Groups have numbers in the translation, for PCRE2's names are
  // short.
  bool named(size_t place) {
    if (take('=')) {
      item(fmt::format("\\g{{{}}}", number_of(until(')', place), place)));
      return false;
    }
    if (!take('<')) fail_at(place, "'(?P' is followed by neither '<' nor '='");
    const std::string name = until('>', place);
    const bool word = !name.empty() && !is_digit(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
      return is_letter(c) || is_digit(c) || c == '_';
    });
    if (!word) fail_at(place, fmt::format("'{}' is no name of a group", name));
    if (!names_.emplace(name, ++groups_).second) fail_at(place, fmt::format("the name '{}' stands twice", name));
    out_ += '(';
    return true;
  }

  // "(?i)" for the whole pattern, at its start alone, or "(?i-s:" for a group. True if a group is open then.
  bool flags(size_t place) {
    std::string kept;
    bool minus = false;
    for (;; ++at_) {
      if (at_ == in_.size()) fail_at(place, "flags without ')'");
      const char c = in_[at_];
      if (c == ')' || c == ':') break;
      if (c == '-' && !minus) {
        minus = true;
        kept += c;
      } else if (c == 'i' || c == 'm' || c == 's') {
        kept += c;
      } else if (c == 'x') {
        verbose_ = !minus;  // comments and blanks are left out of the translation
      } else if ((c != 'a' && c != 'u') || minus) {
        fail_at(place, fmt::format("unknown flag '{}'", c));
      }
    }
    if (kept.ends_with('-')) kept.pop_back();
    const bool whole = in_[at_++] == ')';
    if (whole && minus) fail_at(place, "flags are switched off for a group alone");
    if (whole && !first_) fail_at(place, "flags of the whole pattern stand at its start");
    out_ += whole ? (kept.empty() ? "" : fmt::format("(?{})", kept)) : fmt::format("(?{}:", kept);
    return !whole;
  }

  void close(size_t place) {
    if (open_.empty()) fail_at(place, "')' without '('");
    verbose_ = open_.back().verbose;
    open_.pop_back();
    item(")");
  }

  // `digits` hexadecimal digits as one code point.
  std::string code_point(size_t place, size_t digits) {
    const std::string_view text = in_.substr(at_, digits);
    if (text.size() < digits || !std::all_of(text.begin(), text.end(), is_hex)) {
      fail_at(place, fmt::format("'\\{}' needs {} hexadecimal digits", in_[at_ - 1], digits));
    }
    at_ += digits;
    return fmt::format("\\x{{{}}}", text);
  }

  // What is spelled alike in and outside classes; nothing for anything else. After the letter.
  std::optional<std::string> common_escape(size_t place, char c) {
    if (std::string_view("dDsSwWafnrt").find(c) != std::string_view::npos) return fmt::format("\\{}", c);
    if (c == 'v') return "\\x{b}";
    if (c == 'x') return code_point(place, 2);
    if (c == 'u') return code_point(place, 4);
    if (c == 'U') return code_point(place, 8);
    if (is_letter(c) || is_digit(c)) return std::nullopt;
    const bool ascii = static_cast<unsigned char>(c) < 0x80;
    return ascii ? fmt::format("\\{}", c) : std::string(1, c);
  }

  // Up to `most` octal digits that begin at `begin`, as one code point.
  std::string octal(size_t place, size_t begin, size_t most) {
    int value = 0;
    for (at_ = begin; at_ < in_.size() && at_ < begin + most && is_octal(in_[at_]); ++at_) {
      value = value * 8 + (in_[at_] - '0');
    }
    if (value > 0377) fail_at(place, "an octal escape above 0o377");
    return fmt::format("\\x{{{:x}}}", value);
  }

  bool three_octals(size_t at) const {
    return at + 2 < in_.size() && is_octal(in_[at]) && is_octal(in_[at + 1]) && is_octal(in_[at + 2]);
  }

  void escape(size_t place) {
    if (at_ == in_.size()) fail_at(place, "the pattern ends in a backslash");
    const char c = in_[at_++];
    if (std::string_view("AbBZz").find(c) != std::string_view::npos) {
      out_ += fmt::format("\\{}", c == 'Z' ? 'z' : c);  // PCRE2's \Z also stands before a last line feed
      last_ = Last::kNothing;
      first_ = false;
    } else if (c == '0' || three_octals(at_ - 1)) {
      item(octal(place, at_ - 1, 3));
    } else if (is_digit(c)) {
      --at_;
      const size_t begin = at_;
      while (at_ < in_.size() && at_ < begin + 2 && is_digit(in_[at_])) ++at_;
      item(fmt::format("\\g{{{}}}", in_.substr(begin, at_ - begin)));
    } else if (std::optional<std::string> text = common_escape(place, c)) {
      item(*text);
    } else {
      fail_at(place, fmt::format("bad escape '\\{}'", c));
    }
  }

  void character_class(size_t place) {
    std::string text = "[";
    if (take('^')) text += '^';
    if (take(']')) text += "\\]";
    while (!take(']')) {
      if (at_ == in_.size()) fail_at(place, "'[' without ']'");
      const size_t member = at_;
      const char c = in_[at_++];
      if (c == '[') {
        text += "\\[";  // "[[:alpha:]]" is a class of its letters in Python
      } else if (c == '\\') {
        text += class_escape(member);
      } else {
        text += c;
      }
    }
    item(text + "]");
  }

  std::string class_escape(size_t place) {
    if (at_ == in_.size()) fail_at(place, "the pattern ends in a backslash");
    const char c = in_[at_++];
    if (c == 'b') return "\\x{8}";
    if (is_octal(c)) return octal(place, at_ - 1, 3);
    std::optional<std::string> text = common_escape(place, c);
    if (!text) fail_at(place, fmt::format("bad escape '\\{}'", c));
    return *text;
  }

  std::string_view in_;
  std::string out_;
  size_t at_ = 0;
  Last last_ = Last::kNothing;
  bool first_ = true;  // nothing but flags and comments has been read
  bool verbose_ = false;
  int groups_ = 0;
  std::map<std::string, int> names_;
  std::vector<Group> open_;
};

}  // namespace

std::string pcre_from_python(std::string_view pattern) { return Translator(pattern).translate(); }

}  // namespace fathom
