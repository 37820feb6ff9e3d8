// What tokenizer.json says, checked.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_table.h"

namespace fathom {

// A byte-level BPE tokenizer as its file describes it.
struct TokenizerFile {
  TokenTable vocab;
  std::vector<BpeMerge> merges;         // first = joined first
  std::array<int32_t, 256> byte_ids{};  // -1: a byte that does not occur in UTF-8 and has no token
  std::vector<AddedToken> added;        // in file order, with the ids that stand there
  std::vector<SplitStep> steps;
  bool ignore_merges = false;  // a word that is in the vocabulary is taken whole
};

// Throws FormatError that names the file and the key, also for what is not supported.
TokenizerFile read_tokenizer_file(const std::string& path);

// Whether a file may give a token this id: ids index tables, so a wild one must not make a table of gigabytes.
bool is_token_id(int64_t id);

}  // namespace fathom
