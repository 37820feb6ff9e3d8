// Added tokens: texts that become one id each before anything else looks at the text.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// A row of tokenizer.json's `added_tokens`.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // dropped by decoding without special tokens
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool single_word = false;  // matches only where no word character touches it
  bool normalized = false;   // looked for after the others, in what is left of the text
};

// Finds added tokens: from left to right, at each place the longest.
class AddedTokenFinder {
 public:
  struct Segment {
    std::string_view text;
    int32_t id;  // of the token, or -1 for text between tokens
  };

  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  // Appends the non-empty segments of `text`, which is well-formed UTF-8 and must outlive them. Thread-safe.
  void split(std::string_view text, std::vector<Segment>& out) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // A trie over bytes; the children of a node are a linked list.
  struct Node {
    unsigned char byte = 0;
    uint32_t first_child = kNone;
    uint32_t sibling = kNone;
    uint32_t token = kNone;  // that ends here
  };

  void insert(uint32_t token);
  uint32_t child(uint32_t node, unsigned char byte) const;
  uint32_t longest_at(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::bitset<256> can_start_;
};

}  // namespace fathom
