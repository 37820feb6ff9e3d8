#include "data/record_files.h"

#include <array>
#include <optional>
#include <span>

#include "base/counted.h"
#include "base/error.h"
#include "base/remote_path.h"
#include "base/tf_record.h"
#include "base/waiting.h"

namespace fathom {

namespace {

// Far below what a process may open.
constexpr size_t kMaxOpen = 256;
constexpr int64_t kLongSearch = 10000;            // records
constexpr int64_t kMaxRecord = int64_t{1} << 31;  // bytes
constexpr int64_t kFraming = static_cast<int64_t>(kTfRecordHead + kTfRecordTail);

std::string count(int64_t records) { return counted(records, "record"); }

}  // namespace

RecordFiles::RecordFiles(std::vector<RecordShard> shards, int64_t cache_bytes, bool cache_local)
    : shards_(std::move(shards)), files_(shards_.size()), cache_local_(cache_local), cache_(cache_bytes) {}

std::string RecordFiles::where(size_t shard, int64_t i) const {
  return fmt::format("{}: record {}", shards_[shard].path, i);
}

const FileReader& RecordFiles::reader(size_t shard) {
  std::unique_ptr<const FileReader>& reader = files_[shard].reader;
  if (reader == nullptr) {
    if (open_files_ == kMaxOpen) {
      for (File& other : files_) other.reader.reset();
      open_files_ = 0;
    }
    reader = file_store(shards_[shard].path).open(shards_[shard].path);
    ++open_files_;
  }
  return *reader;
}

void RecordFiles::read(size_t shard, int64_t offset, char* out, size_t size) {
  const std::span<std::byte> to = std::as_writable_bytes(std::span(out, size));
  if (cache_local_ || is_remote(shards_[shard].path)) {
    cache_.read(shard, reader(shard), shards_[shard].bytes, offset, to);
  } else {
    reader(shard).read(offset, to);
  }
}

void RecordFiles::fail_early_end(size_t shard, int64_t i, int64_t begin) const {
  const RecordShard& at = shards_[shard];
  if (begin == at.bytes) {
    throw FormatError(at.path, fmt::format("holds {}, and dataset_info.json says {}", count(i), at.records));
  }
  throw FormatError(where(shard, i), fmt::format("it begins at byte {}, and the file ends inside of it, at byte {}: it "
                                                 "is cut short",
                                                 begin, at.bytes));
}

int64_t RecordFiles::next_begin(size_t shard, int64_t i, int64_t begin) {
  const int64_t left = shards_[shard].bytes - begin;
  if (left < kFraming) fail_early_end(shard, i, begin);
  std::array<char, kTfRecordHead> head;
  read(shard, begin, head.data(), head.size());
  const std::optional<uint64_t> length = tf_record_length({head.data(), head.size()});
  if (!length) {
    throw FormatError(where(shard, i), fmt::format("its length, at byte {}, does not have its checksum (crc32c): the "
                                                   "file is damaged there, or no TFRecord file",
                                                   begin));
  }
  if (*length > static_cast<uint64_t>(left - kFraming)) fail_early_end(shard, i, begin);
  return begin + kFraming + static_cast<int64_t>(*length);
}

void RecordFiles::find(size_t shard, int64_t i) {
  std::vector<int64_t>& begins = files_[shard].begins;
  if (i + 1 < static_cast<int64_t>(begins.size())) return;
  if (indexed_ > kMostIndexed) {
    for (File& file : files_) file.begins = {};
    indexed_ = 0;
  }
  if (begins.empty()) begins.push_back(0);
  std::optional<Waiting> waiting;  // its thread costs more than a few records
  if (i - static_cast<int64_t>(begins.size()) > kLongSearch) waiting.emplace("looking for " + where(shard, i));
  for (auto known = static_cast<int64_t>(begins.size()) - 1; known <= i; ++known) {
    begins.push_back(next_begin(shard, known, begins.back()));
    ++indexed_;
  }
  const RecordShard& at = shards_[shard];
  if (i + 1 == at.records && begins.back() != at.bytes) {
    begins.pop_back();
    throw FormatError(at.path, fmt::format("holds more than the {} that dataset_info.json says", count(at.records)));
  }
}

std::string_view RecordFiles::record(size_t shard, int64_t i) {
  find(shard, i);
  const int64_t begin = files_[shard].begins[static_cast<size_t>(i)];
  const int64_t size = files_[shard].begins[static_cast<size_t>(i) + 1] - begin - kFraming;
  if (size > kMaxRecord) {
    throw FormatError(where(shard, i), fmt::format("{} bytes; {} are the most", size, kMaxRecord));
  }
  const size_t needed = static_cast<size_t>(size) + kTfRecordTail;
  if (buffer_.size() < needed) buffer_.resize(needed);
  read(shard, begin + static_cast<int64_t>(kTfRecordHead), buffer_.data(), needed);
  const std::string_view all(buffer_.data(), needed);
  const std::string_view bytes = all.substr(0, static_cast<size_t>(size));
  if (!tf_record_intact(bytes, all.substr(static_cast<size_t>(size)))) {
    throw FormatError(where(shard, i),
                      fmt::format("its bytes, from byte {}, do not have their checksum (crc32c): the file is damaged",
                                  begin + static_cast<int64_t>(kTfRecordHead)));
  }
  return bytes;
}

}  // namespace fathom
