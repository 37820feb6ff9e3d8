#include "drive/training_data.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "data/config_options.h"
#include "data/prefetch.h"
#include "data/text_encoder.h"

namespace fathom {
namespace {

BatchShare part_of(const RowShare& share) {
  return {.rows = share.rows, .process_index = share.index, .process_count = share.count};
}

// What is asked for and cannot be given must not pass in silence.
void warn_of_missing_tokens(const Config& config, const TextEncoder& encoder) {
  auto warn = [&](const char* key, const char* name, const char* token, const char* end) {
    log_warning(
        "{}=True, but the tokenizer names no {} ({} in tokenizer_config.json or special_tokens_map.json): documents {} "
        "without one",
        key, name, token, end);
  };
  if (config.add_bos && !encoder.bos_id) warn("add_bos", "begin-of-sentence", "bos_token", "begin");
  if (config.add_eos && !encoder.eos_id) warn("add_eos", "end-of-sentence", "eos_token", "end");
}

// Null where the data hold token ids alone.
std::shared_ptr<const Tokenizer> load_tokenizer(const Config& config) {
  const bool encodes = config.tokenize_train_data || (config.eval_interval > 0 && config.tokenize_eval_data);
  if (config.dataset_type == DatasetType::kSynthetic || (!encodes && config.tokenizer_path.empty())) return nullptr;
  std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(config.tokenizer_path);
  if (tokenizer->vocab_size() > config.vocab_size) {
    throw ConfigError(
        fmt::format("tokenizer_path: {} has {} tokens, but vocab_size is {}; give the model's own tokenizer",
                    config.tokenizer_path, tokenizer->vocab_size(), config.vocab_size));
  }
  return tokenizer;
}

TextEncoder encoder_of(const Config& config, const std::shared_ptr<const Tokenizer>& tokenizer) {
  if (config.use_sft) {
    return conversation_encoder(tokenizer, chat_format(config), config.sft_train_on_completion_only);
  }
  TextEncoder encoder = text_encoder(tokenizer);
  if (config.tokenize_train_data) warn_of_missing_tokens(config, encoder);
  return encoder;
}

}  // namespace

TrainingData open_training_data(const Config& config, const RowShare& train, const RowShare& eval) {
  TrainingData out{.tokenizer = load_tokenizer(config), .train = nullptr, .eval = nullptr};
  TextEncoder encoder;
  if (out.tokenizer != nullptr) encoder = encoder_of(config, out.tokenizer);
  out.train = std::make_unique<Prefetcher>(open_batches(train_data_options(config, part_of(train)), encoder));
  if (config.eval_interval <= 0) return out;
  out.eval = open_batches(eval_data_options(config, part_of(eval)), encoder);
  if (!out.eval->next()) {
    throw ConfigError(fmt::format("eval_steps={}: an evaluation needs a batch", config.eval_steps));
  }
  return out;
}

BatchFeed::BatchFeed(BatchStream& stream, bool reuse, size_t ahead)
    : stream_(stream), reuse_(reuse), ahead_(reuse ? 0 : ahead), state_(stream.state()) {
  read();
}

// One batch more than are looked ahead.
void BatchFeed::read() {
  while (!ended_ && batches_.size() <= ahead_) {
    std::optional<Batch> batch = stream_.next();
    ended_ = !batch;
    if (batch) batches_.push_back({std::move(*batch), stream_.state()});
  }
}

std::optional<Batch> BatchFeed::next() {
  if (reuse_) return batches_.empty() ? std::nullopt : std::optional(batches_.front().batch);
  read();
  if (batches_.empty()) return std::nullopt;
  Ready ready = std::move(batches_.front());
  batches_.pop_front();
  state_ = ready.after;
  return std::move(ready.batch);
}

}  // namespace fathom
