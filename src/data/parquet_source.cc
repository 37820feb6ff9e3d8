#include <cstring>
#include <list>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"
#include "data/documents.h"
#include "storage/arrow_module.h"

namespace fathom {

namespace {

ColumnKind kind_of(const SourceOptions& options) {
  if (options.content == DocumentContent::kTokenIds) return ColumnKind::kNumbers;
  return options.content == DocumentContent::kConversations ? ColumnKind::kRecords : ColumnKind::kText;
}

// Row groups are decoded when one of their documents is asked for; the ones used last are kept.
class ParquetSource final : public DocumentSource {
 public:
  ParquetSource(const std::vector<std::string>& paths, const SourceOptions& options)
      : paths_(paths), column_(options.column), kind_(kind_of(options)), cache_bytes_(options.cache_bytes) {
    for (size_t i = 0; i < paths_.size(); ++i) {
      int64_t row = 0;
      int64_t index = 0;
      for (const RowGroup& group : file(i).row_groups()) {
        if (group.rows > 0) {
          groups_.push_back({.file = i, .index = index, .row = row, .begin = size_});
          blocks_.push_back({.documents = group.rows, .bytes = group.bytes});
        }
        ++index;
        row += group.rows;
        size_ += group.rows;
      }
    }
    if (size_ == 0) throw FormatError(paths[0], "no rows");
  }

  int64_t size() const override { return size_; }
  std::vector<DocumentBlock> blocks() const override { return blocks_; }

  std::string_view text(int64_t i) override { return value(i); }

  std::vector<int64_t> ids(int64_t i) override {
    const std::string_view bytes = value(i);
    std::vector<int64_t> ids(bytes.size() / sizeof(int64_t));
    std::memcpy(ids.data(), bytes.data(), bytes.size());
    return ids;
  }

  nlohmann::ordered_json messages(int64_t i) override {
    const std::string_view text = value(i);
    require_utf8(text, *this, i);
    if (const auto refusal = json_refusal(text)) throw FormatError(where(i), refusal->text);
    return nlohmann::ordered_json::parse(text);
  }

  std::string where(int64_t i) const override {
    const Group& group = groups_[group_of(i)];
    return fmt::format("{}: row {}", paths_[group.file], group.row + i - group.begin);
  }

 private:
  struct Group {
    size_t file;
    int64_t index;  // in the file
    int64_t row;    // number of its first row in the file
    int64_t begin;  // number of its first document
  };
  struct Decoded {
    size_t group;
    TextColumn values;
    int64_t bytes() const { return static_cast<int64_t>(values.text.size() + values.ends.size() * sizeof(int64_t)); }
  };

  std::string_view value(int64_t i) {
    size_t group = group_of(i);
    const TextColumn& column = cached(group).values;
    int64_t row = i - groups_[group].begin;
    if (column.is_null(row)) throw FormatError(where(i), fmt::format("column '{}' is null", column_));
    return column[row];
  }

  size_t group_of(int64_t i) const {
    auto after =
        std::upper_bound(groups_.begin(), groups_.end(), i, [](int64_t n, const Group& g) { return n < g.begin; });
    return static_cast<size_t>(after - groups_.begin()) - 1;
  }

  const Decoded& cached(size_t group) {
    auto hit = places_.find(group);
    if (hit != places_.end()) {
      cache_.splice(cache_.begin(), cache_, hit->second);
      return cache_.front();
    }
    const Group& at = groups_[group];
    cache_.push_front({group, file(at.file).read(at.index)});
    places_[group] = cache_.begin();
    cached_bytes_ += cache_.front().bytes();
    while (cached_bytes_ > cache_bytes_ && cache_.size() > 1) {
      cached_bytes_ -= cache_.back().bytes();
      places_.erase(cache_.back().group);
      cache_.pop_back();
    }
    return cache_.front();
  }

  // One file is open at a time: a data set may have more files than a process may open.
  const ParquetFile& file(size_t index) {
    if (open_ == nullptr || open_->path() != paths_[index]) {
      open_ = std::make_unique<ParquetFile>(paths_[index], column_, kind_);
    }
    return *open_;
  }

  std::vector<std::string> paths_;
  std::string column_;
  ColumnKind kind_;
  std::unique_ptr<ParquetFile> open_;
  std::vector<Group> groups_;
  std::vector<DocumentBlock> blocks_;
  int64_t size_ = 0;
  int64_t cache_bytes_;
  int64_t cached_bytes_ = 0;
  std::list<Decoded> cache_;  // the one used last first
  std::unordered_map<size_t, std::list<Decoded>::iterator> places_;
};

SourceOptions text_column(SourceOptions options, const std::string& column) {
  options.column = column;
  options.content = DocumentContent::kText;
  options.cache_bytes /= 2;
  return options;
}

// Questions and answers, in two columns of text of the same files.
class ParquetPairs final : public DocumentSource {
 public:
  ParquetPairs(const std::vector<std::string>& paths, const SourceOptions& options)
      : questions_(paths, text_column(options, options.column)),
        answers_(paths, text_column(options, options.answer_column)) {}

  int64_t size() const override { return questions_.size(); }
  std::vector<DocumentBlock> blocks() const override {
    std::vector<DocumentBlock> out = questions_.blocks();
    const std::vector<DocumentBlock> more = answers_.blocks();
    for (size_t i = 0; i < out.size(); ++i) out[i].bytes += more[i].bytes;
    return out;
  }
  std::string_view text(int64_t i) override { return questions_.text(i); }
  nlohmann::ordered_json messages(int64_t i) override {
    return question_and_answer(of(questions_, i), of(answers_, i));
  }
  std::string where(int64_t i) const override { return questions_.where(i); }

 private:
  static std::string of(ParquetSource& column, int64_t i) {
    const std::string_view text = column.text(i);
    require_utf8(text, column, i);
    return std::string(text);
  }

  ParquetSource questions_;
  ParquetSource answers_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_parquet(const std::vector<std::string>& paths, const SourceOptions& options) {
  if (!options.answer_column.empty()) return std::make_unique<ParquetPairs>(paths, options);
  return std::make_unique<ParquetSource>(paths, options);
}

}  // namespace fathom
