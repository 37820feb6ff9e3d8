// A fast reader of plain JSON: texts of printable ASCII without escapes, whole numbers without sign. Every function
// gives false at anything else, right or wrong: then the full parser decides, and says what is wrong.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fathom {

class PlainJson {
 public:
  explicit PlainJson(std::string_view text) : text_(text) {}

  // Takes a bracket, comma or colon, and the white space before it.
  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // The view is of the text.
  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= ' ' && text_[at_] != '"' && text_[at_] != '\\' && text_[at_] != '\x7f')
      ++at_;
    if (at_ == text_.size() || text_[at_] != '"') return false;
    out = text_.substr(begin, at_++ - begin);
    return true;
  }
  bool number(int64_t& out) {
    skip_space();
    const size_t begin = at_;
    out = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && at_ - begin < kDigits) {
      out = out * 10 + (text_[at_++] - '0');
    }
    return at_ > begin && at_ - begin < kDigits && (text_[begin] != '0' || at_ - begin == 1);
  }
  bool numbers(std::vector<int64_t>& out) {
    out.clear();
    return items('[', ']', [&] {
      int64_t n = 0;
      if (!number(n)) return false;
      out.push_back(n);
      return true;
    });
  }
  // An object whose members `member(name)` takes, from behind the colon on.
  template <class Member>
  bool object(Member member) {
    return items('{', '}', [&] {
      std::string_view name;
      return string(name) && take(':') && member(name);
    });
  }
  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }

 private:
  static constexpr size_t kDigits = 19;  // fewer fit into 63 bits

  template <class Item>
  bool items(char open, char close, Item item) {
    if (!take(open)) return false;
    if (take(close)) return true;
    do {
      if (!item()) return false;
    } while (take(','));
    return take(close);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace fathom
