// Numbers added tokens as the reference library (tokenizers 0.23) does when it reads a file.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/token_table.h"

namespace fathom {

class AddedVocabulary {
 public:
  // `vocab` outlives it.
  explicit AddedVocabulary(const TokenTable& vocab) : vocab_(vocab) {}

  // Adds the tokens of one file and gives their ids, whatever ids they come with: that of the text in the vocabulary or
  // of the same token added before, which takes the new flags; otherwise the next number. The numbers of a call begin
  // at the size of the vocabulary or after the largest id that was added before. A token without text is left out (-1).
  std::vector<int32_t> add(const std::vector<AddedToken>& tokens);
  // Whether the text is there, in the vocabulary or added.
  bool has(const std::string& text) const { return places_.contains(text) || vocab_.find(text).has_value(); }
  // The tokens with their ids, texts distinct, in the order of their coming.
  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  int32_t add_one(AddedToken token);

  const TokenTable& vocab_;
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> places_;  // in tokens_, by text
  int32_t largest_ = -1;
  int32_t next_ = 0;
};

}  // namespace fathom
