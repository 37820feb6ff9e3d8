// Greedy completion of a prompt by running the whole forward pass for each token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "session/state_io.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The tokens of a prompt, a begin-of-sentence first where add_bos asks for one. Throws ConfigError naming `source`, a
// key or a flag, when there is none.
std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const Config& config, std::string_view source,
                                const std::string& prompt);

class GreedyCompletion {
 public:
  // Compiles the program, for texts of up to `length` tokens and on all devices of the mesh: the prompt is the first
  // row of as many as they need, the others are padding. Session, configuration and list outlive this.
  GreedyCompletion(const Session& session, const Config& config, const StateSpec& spec, int64_t length);

  // Up to `count` tokens that follow `prompt`, which has one at least; together they are one more than the length at
  // most. `eos` ends them (-1: nothing does). All processes of a job call it with the same arguments.
  std::vector<int32_t> run(State& state, std::vector<int32_t> prompt, int64_t count, int32_t eos) const;

 private:
  const Session& session_;
  BatchShape shape_;
  Compiled program_;
};

}  // namespace fathom
