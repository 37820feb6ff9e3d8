// Data sets on disk as numbered documents: text, JSONL and parquet files, and those of TensorFlow Datasets.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/record_files.h"

namespace fathom {

// kText: documents are parted by empty lines; kLines: a document a line.
enum class DatasetKind : uint8_t { kText, kLines, kJsonl, kParquet, kTfds };

// What a data set's documents are.
enum class DocumentContent : uint8_t {
  kText,
  kTokenIds,       // lists of token ids, of JSONL, parquet or TFDS files
  kConversations,  // lists of {"role", "content"}, or a question and its answer, of JSONL or parquet files
};

// The files of a data set, all of one kind, in order of their names.
struct DatasetFiles {
  DatasetKind kind = DatasetKind::kText;
  std::vector<std::string> paths;
  std::vector<RecordShard> shards;  // of kTfds, instead of paths
};

// Documents that are read together (a row group, a shard). `bytes` is about what reading them in any order holds in
// memory, or in the system's cache of files; 0 where each is read by itself.
struct DocumentBlock {
  int64_t documents = 0;
  int64_t bytes = 0;
};

// Documents in storage order. Reading is cheap in any order inside a block, and across blocks as long as no more than
// `OrderOptions::window_bytes` (data/order.h) of them are in turn. Not for several threads at once.
class DocumentSource {
 public:
  virtual ~DocumentSource() = default;
  virtual int64_t size() const = 0;
  virtual std::vector<DocumentBlock> blocks() const = 0;
  // The text of document i, valid until the next call. Throws FormatError naming file and line; other documents can be
  // read after it.
  virtual std::string_view text(int64_t i) = 0;
  // The token ids of document i, of a source that was opened for them; any numbers, for they are not checked.
  virtual std::vector<int64_t> ids(int64_t i);
  // The messages of document i, of a source that was opened for conversations. Not checked where they are the column's;
  // of a question and its answer a user's and an assistant's message.
  virtual nlohmann::ordered_json messages(int64_t i);
  // "file:line" or "file: row 7", for messages about document i.
  virtual std::string where(int64_t i) const = 0;
};

// What a data set is looked for with.
struct DatasetQuery {
  // A folder that has the split of this name gives the files of that split alone.
  std::string split;
  // Files of any ending are read as this kind (the peer's hf_path=json, text, parquet); otherwise the ending tells.
  std::optional<DatasetKind> loader;
  // The data set below a folder of TensorFlow Datasets (data/tfds.h; empty: the folder is taken for none), and the keys
  // that messages name.
  std::string tfds_name;
  std::string tfds_name_key = "dataset_name";
  std::string split_key = "train_split";
  bool tfds_required = false;
};

// Finds the files of `path`: a file, a folder (its .txt, .jsonl or .parquet files; hidden files are left aside, others
// are too and named in a warning), or a pattern with * ? [..] in its last part. A file or pattern that ends in .json is
// read as JSONL or a list of records. All but parquet may be packed (.gz, .zst). A folder may be one of TensorFlow
// Datasets. Local, gs:// or s3://. Throws ConfigError naming `key` (the configuration key the path came from) when
// there is nothing, files of several kinds, a folder that has splits but not the one that is asked for, the same file
// packed and unpacked, an unknown ending, or a pipe or device.
DatasetFiles find_dataset(const std::string& path, std::string_view key, const DatasetQuery& query = {});

// The folder of the data set of TensorFlow Datasets that `path` and the query name, if they do.
std::optional<std::string> tfds_folder(const std::string& path, std::string_view key, const DatasetQuery& query);

// Whether `path` is a folder with a split of that name: a folder "train", or files "train-*", "train_*" or "train.*",
// in it or in its folder "data".
bool has_split(const std::string& path, const std::string& split);
// The splits that a folder, and its folder "data", look to have, sorted: of files as the Hub names them
// ("NAME-00000-of-00002.parquet"), and of files and folders named after a usual one ("test.jsonl", "train_sft/").
std::vector<std::string> splits_of(const std::string& folder);

struct SourceOptions {
  std::string column = "text";
  DocumentContent content = DocumentContent::kText;
  // Of conversations: the column with the answers to the questions in `column`; empty: `column` holds the messages.
  std::string answer_column = {};
  // Bytes of decoded row groups, or of records in a bucket, kept in memory; at least one group is.
  int64_t cache_bytes = int64_t{512} << 20;
  // Reads the first record of each file when it is opened, so that a wrong column shows at once.
  bool check_first = true;
};

// A user's message and the assistant's.
nlohmann::ordered_json question_and_answer(std::string question, std::string answer);

// Throws FormatError when a text of document i is not UTF-8.
void require_utf8(std::string_view text, const DocumentSource& source, int64_t i);

// Opens the files. Reads and checks what it can at once (index, schema, the first record); throws FormatError.
std::unique_ptr<DocumentSource> open_documents(const DatasetFiles& files, const SourceOptions& options);

// The sources of each kind. A text file's documents are its runs of lines between empty lines, or its lines, the empty
// ones included.
std::unique_ptr<DocumentSource> open_text(const std::vector<std::string>& paths);
std::unique_ptr<DocumentSource> open_lines(const std::vector<std::string>& paths);
std::unique_ptr<DocumentSource> open_jsonl(const std::vector<std::string>& paths, const SourceOptions& options);
std::unique_ptr<DocumentSource> open_parquet(const std::vector<std::string>& paths, const SourceOptions& options);
std::unique_ptr<DocumentSource> open_tf_records(const std::vector<RecordShard>& shards, const SourceOptions& options);

}  // namespace fathom
