// The batch streams: documents of a data set, or fixed random tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "data/document.h"
#include "data/documents.h"

namespace fathom {

// What a stream needs of a tokenizer.
struct TextEncoder {
  // Ids of a text that is UTF-8, nothing added before or after it; all of them in the vocabulary of the model that eats
  // the batches.
  std::function<std::vector<int32_t>(std::string_view)> encode;
  // The tokens of a conversation, a list of {"role", "content"}; needed for conversations alone. May be called from
  // several threads at once. Throws FormatError for one that cannot be written.
  std::function<Document(const nlohmann::ordered_json&)> encode_conversation = {};
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::optional<int32_t> pad_id;
};

struct DataOptions {
  // Fixed random tokens instead of a data set; `path` is not read then.
  bool synthetic = false;
  // File, folder or pattern (data/documents.h), and the configuration key it came from, for messages.
  std::string path;
  std::string path_key = "dataset_path";
  // Of a folder only the files of this split are read, when it has splits (data/documents.h); empty for all of it.
  std::string split;
  std::string column = "text";
  // Token ids (below vocab_size) need no encoder, and a list of length + 1 of them is a row of `length` targets.
  // Nothing is added to them, nor to conversations.
  DocumentContent content = DocumentContent::kText;
  // Of conversations: the column with the answers; empty: `column` holds the messages.
  std::string answer_column = {};
  // Reads files of any ending as this kind.
  std::optional<DatasetKind> loader;
  // A data set of TensorFlow Datasets below `path` (data/documents.h), and the keys that messages name.
  std::string tfds_name;
  std::string tfds_name_key = "dataset_name";
  std::string split_key = "train_split";
  bool tfds_required = false;
  // A record that cannot be read is left out and counted instead of an error.
  bool skip_bad_records = false;
  // Of the batches of this process; length in tokens.
  int64_t rows = 0;
  int64_t length = 0;
  int64_t vocab_size = 0;  // of synthetic ids, and of token ids
  bool packing = true;
  // The peer's rules: mask_by_value and, for a data set of TensorFlow Datasets, RowForm::kOpenRow (data/packing.h) and
  // without shuffling OrderOptions::interleave (data/order.h).
  bool peer_rules = false;
  int64_t max_segments = -1;
  bool add_bos = true;
  bool add_eos = true;
  bool shuffle = true;
  uint64_t seed = 0;
  int64_t num_epoch = 1;
  // A last batch with empty rows is filled with padding rows; otherwise it is dropped.
  bool pad_last_batch = false;
  // Ends after this many batches; -1 for no limit.
  int64_t max_batches = -1;
  int process_index = 0;
  int process_count = 1;
};

// Opens the data (synthetic data needs no encoder). Throws ConfigError or FormatError for what can be seen at once.
std::unique_ptr<BatchStream> open_batches(const DataOptions& options, TextEncoder encoder);

// One batch, the same at each step: ids uniform in [0, vocab_size), one document a row, positions from 0. Row r of
// process p is row p x rows + r of a table that depends on the seed alone. Never ends (but for max_batches).
std::unique_ptr<BatchStream> open_synthetic(const DataOptions& options);

// Documents in a seeded order, encoded (begin- and end-of-sentence per add_bos and add_eos), cut to `length` with the
// end-of-sentence kept (to length + 1 as they are where they are token ids, or of RowForm::kOpenRow), packed, shifted.
// A batch ends with the first document that fits into none of its rows; an epoch's end does not end a batch. The state
// is the number of the next document, so resuming is exact.
std::unique_ptr<BatchStream> open_document_stream(const DataOptions& options, TextEncoder encoder);

}  // namespace fathom
