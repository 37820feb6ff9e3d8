// What the files beside tokenizer.json say: tokenizer_config.json, special_tokens_map.json and added_tokens.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"

namespace fathom {

struct TokenizerConfig {
  // By their text.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> pad_token;
  std::optional<std::string> unk_token;
  bool add_bos_token = false;
  bool add_eos_token = false;
  // To be added, in this order, to those of tokenizer.json, some of them once more with other flags.
  std::vector<AddedToken> added;
};

// Reads the files that are there, as transformers (5.24) does. `added` are the tokens of tokenizer.json with the ids
// that stand there. `added_tokens_decoder` of tokenizer_config.json replaces the two other files, which older versions
// wrote; of these, special_tokens_map.json goes before tokenizer_config.json. Throws FormatError naming file and key.
TokenizerConfig read_tokenizer_folder(const std::string& folder, const std::vector<AddedToken>& added);

}  // namespace fathom
