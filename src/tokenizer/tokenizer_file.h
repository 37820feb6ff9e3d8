// What tokenizer.json and tokenizer_config.json say, checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
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
  std::vector<AddedToken> added;        // in file order, contents and ids distinct
  std::vector<SplitStep> steps;
  bool ignore_merges = false;  // a word that is in the vocabulary is taken whole
};

// Throws FormatError that names the file and the key, also for what is not supported.
TokenizerFile read_tokenizer_file(const std::string& path);

// What tokenizer_config.json adds to it. Tokens by their content.
struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> pad_token;
  std::optional<std::string> unk_token;
  bool add_bos_token = false;
  bool add_eos_token = false;
  std::string chat_template;  // Jinja; empty when there is none
};

TokenizerConfig read_tokenizer_config(const std::string& path);

}  // namespace fathom
