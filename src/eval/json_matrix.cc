#include "eval/json_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace fathom {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text, size_t at = 0) : text_(text), at_(at) {}

  size_t at() const { return at_; }
  bool ended() const { return at_ >= text_.size(); }
  char next() const { return ended() ? '\0' : text_[at_]; }
  void skip() { ++at_; }
  void skip_space() {
    while (!ended() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  // Whether this character comes next, behind space; it is passed.
  bool take(char c) {
    skip_space();
    if (next() != c) return false;
    ++at_;
    return true;
  }
  void need(char c) {
    if (!take(c)) fail(std::string("expected ") + c);
  }
  // The inside of a string that begins here, as it is written.
  std::string_view string() {
    const size_t begin = ++at_;
    while (!ended() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    const size_t end = std::min(at_, text_.size());
    ++at_;
    return text_.substr(begin, end - begin);
  }
  float number() {
    skip_space();
    float out = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), out);
    if (error == std::errc::invalid_argument) fail("expected a number");
    // Too large or too small for a float32: infinite or zero.
    if (error == std::errc::result_out_of_range) out = std::strtof(std::string(begin, end).c_str(), nullptr);
    at_ += static_cast<size_t>(end - begin);
    return out;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw NoMatrix(fmt::format("{} at column {}", what, at_ + 1));
  }

 private:
  std::string_view text_;
  size_t at_;
};

// Where the value of a key of the outermost object begins.
std::optional<size_t> find_value(std::string_view object, std::string_view key) {
  int depth = 0;
  for (Scanner in(object); !in.ended();) {
    const char c = in.next();
    if (c == '"') {
      const std::string_view word = in.string();
      if (depth == 1 && in.take(':') && word == key) return in.at();
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    in.skip();
  }
  return std::nullopt;
}

}  // namespace

std::optional<JsonMatrix> find_matrix(std::string_view object, std::string_view key) {
  const std::optional<size_t> begin = find_value(object, key);
  if (!begin) return std::nullopt;
  auto numbers = std::make_shared<std::vector<float>>();
  int64_t rows = 0;
  bool ragged = false;
  Scanner in(object, *begin);
  in.need('[');
  if (!in.take(']')) {
    do {
      const size_t before = numbers->size();
      in.need('[');
      if (!in.take(']')) {
        do numbers->push_back(in.number());
        while (in.take(','));
        in.need(']');
      }
      ++rows;
      ragged = ragged || (numbers->size() - before) * static_cast<size_t>(rows) != numbers->size();
    } while (in.take(','));
    in.need(']');
  }
  const int64_t count = std::ssize(*numbers);
  std::vector<int64_t> sizes = {rows, rows == 0 ? 0 : count / rows};
  if (ragged) sizes = {count};
  const auto* data = reinterpret_cast<const std::byte*>(numbers->data());
  return JsonMatrix{HostArray(DType::kF32, std::move(sizes), data, numbers), object.substr(*begin, in.at() - *begin)};
}

}  // namespace fathom
