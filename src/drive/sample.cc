#include "drive/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/one_line.h"

namespace fathom {
namespace {

constexpr int64_t kTokens = 32;

// The last token needs no place: nothing follows it.
int64_t tokens_after(int64_t prompt, const Config& config) {
  return std::min(kTokens, config.max_target_length - prompt + 1);
}

}  // namespace

std::vector<int32_t> sample_prompt_ids(const Config& config, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) {
    throw ConfigError(config.dataset_type == DatasetType::kSynthetic
                          ? "sample_prompt: synthetic data has no words to complete; give dataset_path and "
                            "tokenizer_path"
                          : "sample_prompt: a prompt needs a tokenizer; give tokenizer_path");
  }
  std::vector<int32_t> ids = prompt_ids(*tokenizer, config, "sample_prompt", config.sample_prompt);
  if (std::ssize(ids) > config.max_target_length) {
    throw ConfigError(fmt::format("sample_prompt: has {} tokens, but max_target_length is {}; give a shorter text",
                                  ids.size(), config.max_target_length));
  }
  return ids;
}

PromptSample::PromptSample(const Session& session, const Config& config, const StateSpec& spec,
                           std::shared_ptr<const Tokenizer> tokenizer)
    : prompt_(config.sample_prompt),
      tokenizer_(std::move(tokenizer)),
      ids_(sample_prompt_ids(config, tokenizer_.get())),
      count_(tokens_after(std::ssize(ids_), config)),
      generator_(session, config, spec, {.longest = std::ssize(ids_), .length = std::ssize(ids_) + count_ - 1}) {}

std::string PromptSample::line(State& state, int64_t step) {
  last_ = step;
  const Prompt prompt{.ids = ids_, .most = count_};
  const std::vector<int32_t> made =
      generator_.run(state, std::span(&prompt, 1), {.eos = tokenizer_->eos_id().value_or(-1)})[0];
  return fmt::format("sample at step {}: {} -> {}", step, on_one_line(prompt_),
                     on_one_line(tokenizer_->decode(made, true)));
}

}  // namespace fathom
