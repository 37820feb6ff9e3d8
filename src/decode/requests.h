// What is to be completed, as a user gives it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "decode/generator.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct Request {
  std::string where;                // how messages name it: "--prompt_ids", "prompts.jsonl, line 3"
  std::optional<std::string> text;  // or
  std::vector<int32_t> ids = {};
  std::optional<int64_t> most = {};  // tokens to make
};

// A JSON object a line: `prompt` or `prompt_ids`, and `max_new_tokens` where it has its own limit. Of the path `-` what
// stands on stdin, to its end. Throws FormatError that names the line.
std::vector<Request> read_requests(const std::string& path);
// "1,2,3". Throws ConfigError.
Request request_of_ids(const std::string& flag, const std::string& ids);

// Tokens that a request without a limit of its own gets: max_target_length less the room for the prompt. Throws
// ConfigError where that is none.
int64_t new_tokens(const Config& config);

// As the generator takes them. Throws ConfigError for a prompt of more than max_prefill_predict_length tokens, one that
// does not fit max_target_length with what follows, a token outside of the vocabulary, a text without a tokenizer
// (null).
std::vector<Prompt> prompts_of(const std::vector<Request>& requests, const Config& config, const Tokenizer* tokenizer);

}  // namespace fathom
