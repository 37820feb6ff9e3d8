#include "drive/training_data.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "data/config_options.h"
#include "data/prefetch.h"
#include "data/text_encoder.h"

namespace fathom {
namespace {

BatchShare part_of(const RowShare& share) {
  return {.rows = share.rows, .process_index = share.index, .process_count = share.count};
}

}  // namespace

TrainingData open_training_data(const Config& config, const RowShare& train, const RowShare& eval) {
  TrainingData out;
  TextEncoder encoder;
  if (config.dataset_type != DatasetType::kSynthetic) {
    out.tokenizer = Tokenizer::load(config.tokenizer_path);
    if (out.tokenizer->vocab_size() > config.vocab_size) {
      throw ConfigError(
          fmt::format("tokenizer_path: {} has {} tokens, but vocab_size is {}; give the model's own tokenizer",
                      config.tokenizer_path, out.tokenizer->vocab_size(), config.vocab_size));
    }
    encoder = text_encoder(out.tokenizer);
  }
  out.train = std::make_unique<Prefetcher>(open_batches(train_data_options(config, part_of(train)), encoder));
  if (config.eval_interval <= 0) return out;
  out.eval = open_batches(eval_data_options(config, part_of(eval)), encoder);
  if (!out.eval->next()) {
    throw ConfigError(fmt::format("eval_steps={}: an evaluation needs a batch", config.eval_steps));
  }
  return out;
}

BatchFeed::BatchFeed(BatchStream& stream, bool reuse, size_t ahead)
    : stream_(stream), reuse_(reuse), ahead_(reuse ? 0 : ahead) {
  read();
}

// One batch more than are looked ahead.
void BatchFeed::read() {
  while (!ended_ && batches_.size() <= ahead_) {
    std::optional<Batch> batch = stream_.next();
    ended_ = !batch;
    if (batch) batches_.push_back(std::move(*batch));
  }
}

std::optional<Batch> BatchFeed::next() {
  if (reuse_) return batches_.empty() ? std::nullopt : std::optional(batches_.front());
  read();
  if (batches_.empty()) return std::nullopt;
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  return batch;
}

}  // namespace fathom
