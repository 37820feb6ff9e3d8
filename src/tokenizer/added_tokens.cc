#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace fathom {

namespace {

bool word_ends_at(std::string_view text, size_t end) {
  return end > 0 && word_set().contains(decode_utf8(text.data() + previous_code_point(text, end)));
}

bool word_starts_at(std::string_view text, size_t begin) {
  return begin < text.size() && word_set().contains(decode_utf8(text.data() + begin));
}

// Start of the white space that ends at `end`.
size_t skip_space_back(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t before = previous_code_point(text, end);
    if (!white_space_set().contains(decode_utf8(text.data() + before))) break;
    end = before;
  }
  return end;
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && white_space_set().contains(decode_utf8(text.data() + at))) at += utf8_length(text[at]);
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (uint32_t i = 0; i < tokens_.size(); ++i) insert(i);
}

void AddedTokenFinder::insert(uint32_t token) {
  const std::string& content = tokens_[token].content;
  if (content.empty()) return;
  can_start_.set(static_cast<unsigned char>(content[0]));
  uint32_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == kNone) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({.byte = byte, .sibling = nodes_[node].first_child});
      nodes_[node].first_child = next;
    }
    node = next;
  }
  nodes_[node].token = token;
}

uint32_t AddedTokenFinder::child(uint32_t node, unsigned char byte) const {
  uint32_t next = nodes_[node].first_child;
  while (next != kNone && nodes_[next].byte != byte) next = nodes_[next].sibling;
  return next;
}

// The longest token that starts at `at`, or kNone.
uint32_t AddedTokenFinder::longest_at(std::string_view text, size_t at) const {
  uint32_t found = kNone;
  uint32_t node = 0;
  for (; at < text.size(); ++at) {
    node = child(node, static_cast<unsigned char>(text[at]));
    if (node == kNone) break;
    if (nodes_[node].token != kNone) found = nodes_[node].token;
  }
  return found;
}

void AddedTokenFinder::split(std::string_view text, std::vector<Segment>& out) const {
  size_t done = 0;  // all before it is in `out`
  size_t at = 0;
  while (at < text.size()) {
    const uint32_t found = can_start_[static_cast<unsigned char>(text[at])] ? longest_at(text, at) : kNone;
    if (found == kNone) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found];
    size_t begin = at;
    size_t end = at + token.content.size();
    at = end;  // a token refused below hides what overlaps it, as in the reference tokenizers
    if (token.single_word && (word_ends_at(text, begin) || word_starts_at(text, end))) continue;
    if (token.lstrip) begin = std::max(skip_space_back(text, begin), done);
    if (token.rstrip) end = skip_space(text, end);
    if (done < begin) out.push_back({text.substr(done, begin - done), -1});
    out.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({text.substr(done), -1});
}

}  // namespace fathom
