// The data keys of a configuration as options of a stream.
#pragma once

#include <memory>

#include "chat/chat_format.h"
#include "config/config.h"
#include "data/streams.h"

namespace fathom {

// This process's part of each batch.
struct BatchShare {
  int64_t rows = 0;  // of max_target_length tokens, gradient accumulation included
  int process_index = 0;
  int process_count = 1;
};

// A resolved configuration names files of one column of text or of token ids, a data set of TensorFlow Datasets, or
// synthetic data.
DataOptions train_data_options(const Config& config, const BatchShare& share);
// The evaluation data: hf_eval_files, otherwise the eval_split of the data set (eval_dataset_name's, where that names
// it), otherwise the training data itself
// (said in a warning). Not shuffled, once through, at most eval_steps batches.
DataOptions eval_data_options(const Config& config, const BatchShare& share);

// The format of conversations: of chat_template or chat_template_path, else of the tokenizer's folder. V3.2, the
// release with an indexer, needs no template.
std::shared_ptr<const ChatFormat> chat_format(const Config& config);

}  // namespace fathom
