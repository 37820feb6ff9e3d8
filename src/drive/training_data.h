// The batches of a run.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "data/streams.h"
#include "mesh/batch_sizes.h"
#include "session/batch_io.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The tokenizer and the streams that a configuration names. Both streams give the rows of this process alone.
struct TrainingData {
  std::shared_ptr<const Tokenizer> tokenizer;  // null for synthetic data, and for token ids where none is named
  std::unique_ptr<BatchStream> train;          // read ahead by a thread
  std::unique_ptr<BatchStream> eval;           // null without evaluations; holds a batch at least
};
// Throws ConfigError or FormatError for what can be seen at once: data that is broken or too little, a tokenizer that
// is not the model's.
TrainingData open_training_data(const Config& config, const RowShare& train, const RowShare& eval);

// The batch of each step, in order.
class BatchFeed {
 public:
  // Reads the first batch, and `ahead` more. With `reuse` (reuse_example_batch) it is given again and again.
  BatchFeed(BatchStream& stream, bool reuse, size_t ahead);
  // Nothing when the data has ended.
  std::optional<Batch> next();
  // Whether it is seen already that less than `ahead` batches come after the one given last.
  bool near_end() const { return ended_ && batches_.size() < ahead_; }
  // Where the data stands after the batch given last.
  const DataState& state() const { return state_; }

 private:
  void read();

  BatchStream& stream_;
  bool reuse_;
  size_t ahead_;
  struct Ready {
    Batch batch;
    DataState after;  // where the stream stood behind it
  };
  std::deque<Ready> batches_;  // read, not given yet; with reuse_ the first alone
  bool ended_ = false;
  DataState state_;
};

}  // namespace fathom
