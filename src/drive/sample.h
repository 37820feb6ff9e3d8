// A completion of sample_prompt between the steps of a run, to see what the model has learned.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "decode/generator.h"
#include "decode/prompt.h"

namespace fathom {

// sample_prompt as tokens. Throws ConfigError, naming the keys, when there is no tokenizer (null) or the prompt has
// more tokens than max_target_length.
std::vector<int32_t> sample_prompt_ids(const Config& config, const Tokenizer* tokenizer);

class PromptSample {
 public:
  // Compiles prefill and step. Session, configuration and list outlive this.
  PromptSample(const Session& session, const Config& config, const StateSpec& spec,
               std::shared_ptr<const Tokenizer> tokenizer);

  // "sample at step 99: PROMPT -> COMPLETION", with the state after that step: up to 32 tokens, an end of sentence ends
  // them. All processes of a job call it.
  std::string line(State& state, int64_t step);
  // The step of the last line; negative: there was none.
  int64_t last() const { return last_; }

 private:
  const std::string& prompt_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int32_t> ids_;
  int64_t count_;
  Generator generator_;
  int64_t last_ = -1;
};

}  // namespace fathom
