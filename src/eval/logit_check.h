// `fathom forward_pass_logit_checker`: a checkpoint's logits against golden ones, token by token.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/references.h"
#include "eval/verified_model.h"

namespace fathom {

// At least one of max_kl_div and atol is set.
struct LogitCriteria {
  std::optional<double> max_kl_div;  // every token's divergence must be less
  std::optional<double> atol;        // every |logit - golden| at most atol + rtol |golden|
  double rtol = 1e-5;
  std::optional<int64_t> token_size;  // of each prompt only the first tokens are compared
  bool skip_first_token = false;
  double clip_epsilon = 0;  // lower probabilities of both are raised to it, then each is normalised again
};

// The largest of many numbers and where it is; the first NaN, once there is one.
struct Largest {
  double value = -std::numeric_limits<double>::infinity();
  int64_t token = 0;  // of the prompt, from 0
  void note(double x, int64_t at);
};

// How far one prompt's logits are from the golden ones; NaN where either has a number that is not finite.
struct PromptAgreement {
  int64_t tokens = 0;      // compared
  Largest kl;              // sum p ln(p / q) over the vocabulary: p golden, q the model's
  Largest difference;      // |logit - golden|
  Largest beyond;          // |logit - golden| - (atol + rtol |golden|), where atol is set
  int64_t common_top = 0;  // of the `top` likeliest after the last token, how many both have
  int64_t top = 0;         // 10, or the whole vocabulary
};

// Of f32 [n v] each, for the tokens that the criteria compare: [first, end).
PromptAgreement agreement(const HostArray& got, const HostArray& golden, const LogitCriteria& criteria);

// "tokens 5, max_kl 1.2e-11, max_abs 3e-06, top10 10/10"
std::string describe(const PromptAgreement& prompt);
// "PASS", or "FAIL: max KL 0.3 at prompt 0, token 2" with the worst prompt of each criterion that fails.
struct LogitVerdict {
  bool passed = false;
  std::string text;
};
LogitVerdict judge_logits(std::span<const PromptAgreement> prompts, const LogitCriteria& criteria);

// Prompts that can be compared: throws ConfigError for one without a token to compare, or of more than `most` tokens
// (max_target_length).
void check_prompts(const std::vector<LogitsReference>& golden, const LogitCriteria& criteria, int64_t most);
// Announces all prompts to the model. Throws ConfigError where the golden logits are of another vocabulary.
void announce(VerifiedModel& model, const std::vector<LogitsReference>& golden);

// One line as the golden file has them, with the shortest decimals that give a float32 back.
std::string golden_line(const std::string& prompt, const std::vector<int32_t>& tokens, const HostArray& logits);

}  // namespace fathom
