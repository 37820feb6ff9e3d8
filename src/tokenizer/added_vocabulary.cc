#include "tokenizer/added_vocabulary.h"

#include <algorithm>

namespace fathom {

std::vector<int32_t> AddedVocabulary::add(const std::vector<AddedToken>& tokens) {
  next_ = std::max(largest_ + 1, static_cast<int32_t>(vocab_.size()));
  std::vector<int32_t> ids;
  for (const AddedToken& token : tokens) ids.push_back(add_one(token));
  return ids;
}

int32_t AddedVocabulary::add_one(AddedToken token) {
  if (token.content.empty()) return -1;
  const auto [place, is_new] = places_.try_emplace(token.content, tokens_.size());
  if (!is_new) {
    AddedToken& known = tokens_[place->second];
    token.id = known.id;
    token.special = token.special || known.special;
    known = std::move(token);
    return known.id;
  }
  const auto in_vocab = vocab_.find(token.content);
  token.id = in_vocab ? *in_vocab : next_++;
  largest_ = std::max(largest_, token.id);
  tokens_.push_back(std::move(token));
  return tokens_.back().id;
}

}  // namespace fathom
