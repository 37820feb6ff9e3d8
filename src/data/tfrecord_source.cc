#include <algorithm>

#include "base/error.h"
#include "data/documents.h"
#include "data/record_files.h"
#include "data/tf_example.h"

namespace fathom {

namespace {

// The records of a TFDS split; each shard is a block.
class TfRecordSource final : public DocumentSource {
 public:
  TfRecordSource(const std::vector<RecordShard>& shards, const SourceOptions& options)
      : files_(shards, options.cache_bytes), column_(options.column) {
    for (const RecordShard& shard : files_.shards()) {
      begins_.push_back(size_);
      blocks_.push_back({.documents = shard.records, .bytes = shard.bytes});
      size_ += shard.records;
    }
    if (size_ == 0) throw FormatError(shards.at(0).path, "no records");
    // A wrong column shows before anything is compiled.
    const bool numbers = options.content == DocumentContent::kTokenIds;
    if (options.check_first && numbers) ids(0);
    if (options.check_first && !numbers) text(0);
  }

  int64_t size() const override { return size_; }
  std::vector<DocumentBlock> blocks() const override { return blocks_; }

  std::string_view text(int64_t i) override { return example_text(record(i), column_, where(i)); }
  std::vector<int64_t> ids(int64_t i) override { return example_numbers(record(i), column_, where(i)); }

  std::string where(int64_t i) const override {
    const size_t shard = shard_of(i);
    return files_.where(shard, i - begins_[shard]);
  }

 private:
  size_t shard_of(int64_t i) const {
    return static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), i) - begins_.begin()) - 1;
  }

  std::string_view record(int64_t i) {
    const size_t shard = shard_of(i);
    return files_.record(shard, i - begins_[shard]);
  }

  RecordFiles files_;
  std::string column_;
  std::vector<int64_t> begins_;  // number of the first document of each shard
  std::vector<DocumentBlock> blocks_;
  int64_t size_ = 0;
};

}  // namespace

std::unique_ptr<DocumentSource> open_tf_records(const std::vector<RecordShard>& shards, const SourceOptions& options) {
  return std::make_unique<TfRecordSource>(shards, options);
}

}  // namespace fathom
