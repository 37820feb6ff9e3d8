#include "tokenizer/regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tokenizer/regex_parser.h"
#include "tokenizer/unicode.h"

namespace fathom {

namespace {

constexpr size_t kNoMatch = SIZE_MAX;

// The first bytes of the UTF-8 of the set's members.
std::bitset<256> first_bytes(const CodePointSet& set) {
  std::bitset<256> bytes;
  auto lead = [](uint32_t code_point) {
    std::string text;
    append_utf8(text, code_point);
    return static_cast<unsigned char>(text[0]);
  };
  // Lead bytes grow with the code point; between those of one and of two bytes are the bytes that lead nothing.
  for (const auto& range : set.ranges()) {
    for (unsigned byte = lead(range.first); byte <= lead(range.last); ++byte) {
      if (byte < 0x80 || byte >= 0xc2) bytes.set(byte);
    }
  }
  return bytes;
}

// Bytes of the set's member at text[at], or 0 when there is none.
inline size_t member_length(const CodePointBitmap& set, std::string_view text, size_t at) {
  if (at == text.size()) return 0;
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return set.contains_ascii(byte) ? 1 : 0;
  return set.contains(decode_utf8(text.data() + at)) ? utf8_length(text[at]) : 0;
}

}  // namespace

Regex::Regex(std::string_view pattern) {
  const RegexAst ast = parse_regex(pattern);
  const uint32_t accept = add_node(Node{.kind = Kind::kAccept});
  root_ = compile(ast, accept);
  bitmaps_.reserve(sets_.size());
  for (const CodePointSet& set : sets_) bitmaps_.emplace_back(set);
  // An assertion may let a pattern match the empty text where `first` says so, hence no finer test.
  if (nodes_[root_].first.empty) throw RegexError("the pattern matches the empty text");
  for (size_t byte = 0; byte < can_start_.size(); ++byte) can_start_[byte] = nodes_[root_].first.bytes[byte];
}

uint32_t Regex::add_set(const CodePointSet& set) {
  auto same = std::find(sets_.begin(), sets_.end(), set);
  if (same != sets_.end()) return static_cast<uint32_t>(same - sets_.begin());
  sets_.push_back(set);
  return static_cast<uint32_t>(sets_.size() - 1);
}

uint32_t Regex::add_node(Node node) {
  constexpr size_t kMaxNodes = 10000;  // bounds the depth of recursion too
  if (nodes_.size() == kMaxNodes) throw RegexError("the pattern is too large (with its counts written out)");
  node.first = first_of(node);
  nodes_.push_back(node);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

Regex::First Regex::first_of(const Node& node) const {
  First first;
  switch (node.kind) {
    case Kind::kAccept:
      first.empty = true;
      return first;
    case Kind::kSet:
      first.bytes = first_bytes(sets_[node.set]);
      return first;
    case Kind::kRepeat:
      if (node.min == 0) first = nodes_[node.next].first;
      first.bytes |= first_bytes(sets_[node.set]);
      return first;
    case Kind::kBranch:
      first.bytes = nodes_[node.inner].first.bytes | nodes_[node.next].first.bytes;
      first.empty = nodes_[node.inner].first.empty || nodes_[node.next].first.empty;
      return first;
    case Kind::kLook:
    case Kind::kLineEnd:
      // They consume nothing: a superset is what may follow them.
      return nodes_[node.next].first;
  }
  return first;
}

uint32_t Regex::compile(const RegexAst& ast, uint32_t next) {
  switch (ast.kind) {
    case RegexAst::Kind::kSet:
      return add_node(Node{.kind = Kind::kSet, .set = add_set(ast.set), .next = next});
    case RegexAst::Kind::kSequence:
      for (auto child = ast.children.rbegin(); child != ast.children.rend(); ++child) next = compile(*child, next);
      return next;
    case RegexAst::Kind::kAlternatives:
      return compile_alternatives(ast, next);
    case RegexAst::Kind::kRepeat:
      return compile_repeat(ast, next);
    case RegexAst::Kind::kLook: {
      const uint32_t accept = add_node(Node{.kind = Kind::kAccept});
      const uint32_t inner = compile(ast.children[0], accept);
      return add_node(Node{.kind = Kind::kLook, .negated = ast.negated, .inner = inner, .next = next});
    }
    case RegexAst::Kind::kLineEnd:
      return add_node(Node{.kind = Kind::kLineEnd, .next = next});
  }
  return next;
}

uint32_t Regex::compile_alternatives(const RegexAst& ast, uint32_t next) {
  uint32_t rest = compile(ast.children.back(), next);
  for (size_t i = ast.children.size() - 1; i-- > 0;) {
    rest = add_node(Node{.kind = Kind::kBranch, .inner = compile(ast.children[i], next), .next = rest});
  }
  return rest;
}

uint32_t Regex::compile_repeat(const RegexAst& ast, uint32_t next) {
  const RegexAst& inner = ast.children[0];
  if (inner.kind == RegexAst::Kind::kSet) {
    return add_node(Node{.kind = Kind::kRepeat,
                         .possessive = ast.possessive,
                         .set = add_set(inner.set),
                         .min = ast.min,
                         .max = ast.max,
                         .next = next});
  }
  // x{1,3} is x(x(x|)|): the optional copies from the inside out, then those that must be there.
  const uint32_t after = next;
  for (uint32_t i = ast.max; i-- > 0;) {
    next = compile(inner, next);
    if (i >= ast.min) next = add_node(Node{.kind = Kind::kBranch, .inner = next, .next = after});
  }
  return next;
}

// Whether the node can match at all, judged by the byte at `at`.
inline bool Regex::starts(const Node& node, std::string_view text, size_t at) const {
  return node.first.empty || (at < text.size() && node.first.bytes[static_cast<unsigned char>(text[at])]);
}

void Regex::out_of_steps(std::string_view text) {
  throw RegexError(
      fmt::format("takes too many steps on a text of {} bytes: repeats that follow one another can match "
                  "the same letters",
                  text.size()));
}

size_t Regex::match_repeat(const Node& node, Search& search, size_t at) const {
  const CodePointBitmap& set = bitmaps_[node.set];
  uint32_t count = 0;
  size_t end = at;
  while (count < node.max) {
    const size_t length = member_length(set, search.text, end);
    if (length == 0) break;
    end += length;
    ++count;
  }
  if (count < node.min) return kNoMatch;
  const Node& next = nodes_[node.next];
  if (next.kind == Kind::kAccept) return end;
  search.spend(count);
  for (;;) {
    if (starts(next, search.text, end)) {
      const size_t result = match(node.next, search, end);
      if (result != kNoMatch) return result;
    }
    if (node.possessive || count == node.min) return kNoMatch;
    end = previous_code_point(search.text, end);
    --count;
  }
}

// End of the match of the node and all that follows it, or kNoMatch. Recursion is as deep as the pattern at most: loops
// without a limit are inside match_repeat.
size_t Regex::match(uint32_t index, Search& search, size_t at) const {
  search.spend(1);
  const std::string_view text = search.text;
  for (;;) {
    const Node& node = nodes_[index];
    switch (node.kind) {
      case Kind::kAccept:
        return at;
      case Kind::kSet: {
        const size_t length = member_length(bitmaps_[node.set], text, at);
        if (length == 0) return kNoMatch;
        at += length;
        break;
      }
      case Kind::kRepeat:
        return match_repeat(node, search, at);
      case Kind::kBranch:
        if (starts(nodes_[node.inner], text, at)) {
          const size_t result = match(node.inner, search, at);
          if (result != kNoMatch) return result;
        }
        break;
      case Kind::kLook:
        if ((match(node.inner, search, at) != kNoMatch) == node.negated) return kNoMatch;
        break;
      case Kind::kLineEnd:
        // As in Ruby: also before a line feed in the middle of the text.
        if (at != text.size() && text[at] != '\n') return kNoMatch;
        break;
    }
    index = node.next;
  }
}

std::optional<Regex::Match> Regex::find(std::string_view text, size_t from, uint64_t& budget) const {
  Search search{text, budget};
  const Node& root = nodes_[root_];
  const bool starts_with_run = root.kind == Kind::kRepeat && root.min <= 1 && root.max == kNoLimit;
  std::optional<Match> found;
  for (size_t at = from; at < text.size() && !found; ++at) {
    if (!can_start_[static_cast<unsigned char>(text[at])]) continue;
    const size_t end = match(root_, search, at);
    if (end != kNoMatch) {
      found = Match{at, end};
    } else if (starts_with_run) {
      // A pattern such as \s+$ has failed at every end in this run of white space; a later start in it has no others.
      // Going on after the run keeps long runs from taking quadratic time.
      size_t run_end = at;
      while (const size_t length = member_length(bitmaps_[root.set], text, run_end)) run_end += length;
      if (run_end > at) at = run_end - 1;
    }
  }
  budget = search.budget;
  return found;
}

}  // namespace fathom
