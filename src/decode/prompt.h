// Text on its way into a model and out of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The tokens of a prompt, a begin-of-sentence first where add_bos asks for one and the text does not begin with it.
// Throws ConfigError naming `source`, a key or a flag, when there is none.
std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const Config& config, std::string_view source,
                                const std::string& prompt);

// The text of tokens that come one by one. Special tokens stand for nothing.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // What can be shown with this token: a character whose bytes are not all there is held back.
  std::string add(int32_t token);
  // What is held back, when nothing follows any more: U+FFFD for each part of a character.
  std::string end();

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> held_;
  std::string bytes_;  // of these tokens
};

}  // namespace fathom
