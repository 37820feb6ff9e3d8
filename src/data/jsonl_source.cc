#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/json_text.h"
#include "data/documents.h"
#include "data/line_files.h"

namespace fathom {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Finds the records of a list of objects.
class ListCutter {
 public:
  ListCutter(const std::string& path, size_t file, LineFiles& files) : path_(path), file_(file), files_(files) {}

  void add(size_t offset, std::string_view bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) step(offset + i, bytes[i]);
  }

  void finish() const {
    if (!ended_) throw FormatError(path_, "the list of records has no end: the file is cut short");
  }

 private:
  void step(size_t at, char c) {
    const bool space = std::string_view(" \t\r\n").find(c) != std::string_view::npos;
    if (ended_ && !space) bad(at);
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
      return;
    }
    if (c == '{' || c == '[') {
      if (depth_ == 1) begin(at, c);
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
      if (depth_ == 1) files_.add(file_, begin_, at + 1 - begin_);
      ended_ = depth_ == 0;
    } else if (depth_ > 1) {
      in_string_ = c == '"';
    } else if (c != ',' && !space) {
      bad(at);
    }
  }

  void begin(size_t at, char c) {
    if (c != '{') bad(at);
    begin_ = at;
  }

  [[noreturn]] void bad(size_t at) const {
    throw FormatError(path_, static_cast<int64_t>(at), "a list of records holds objects alone");
  }

  const std::string& path_;
  size_t file_;
  LineFiles& files_;
  size_t begin_ = 0;
  int64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool ended_ = false;
};

class JsonlSource final : public DocumentSource {
 public:
  JsonlSource(const std::vector<std::string>& paths, const SourceOptions& options)
      : files_(paths), column_(options.column), answer_column_(options.answer_column) {
    for (size_t file = 0; file < files_.files(); ++file) {
      int64_t first = files_.size();
      index(file);
      // A wrong column shows before anything is compiled.
      if (!options.check_first || files_.size() == first) continue;
      read(first, options.content);
    }
    if (files_.size() == 0) throw FormatError(paths[0], "no records: the file is empty");
  }

  int64_t size() const override { return files_.size(); }
  std::vector<DocumentBlock> blocks() const override { return {{.documents = files_.size()}}; }
  std::string where(int64_t i) const override { return files_.where(i); }

  std::string_view text(int64_t i) override {
    json record = parse<json>(i);
    text_ = text_of(record, column_, i);
    return text_;
  }

  ordered_json messages(int64_t i) override {
    ordered_json record = parse<ordered_json>(i);
    if (answer_column_.empty()) return std::move(value_of(record, column_, i));
    std::string question = text_of(record, column_, i);
    return question_and_answer(std::move(question), text_of(record, answer_column_, i));
  }

  std::vector<int64_t> ids(int64_t i) override {
    json record = parse<json>(i);
    const json& value = value_of(record, column_, i);
    if (!value.is_array()) {
      fail(i, fmt::format("column '{}' holds a JSON {}, not a list of token ids{}", column_, value.type_name(),
                          value.is_string() ? "; leave tokenize_train_data=False away to train on text" : ""));
    }
    std::vector<int64_t> ids;
    ids.reserve(value.size());
    for (const json& id : value) {
      const bool fits = id.is_number_integer() && (!id.is_number_unsigned() || id.get<uint64_t>() <= kMostId);
      if (!fits) fail(i, fmt::format("column '{}' holds {}, which is no token id", column_, id.dump()));
      ids.push_back(id.get<int64_t>());
    }
    return ids;
  }

 private:
  static constexpr uint64_t kMostId = std::numeric_limits<int64_t>::max();

  void read(int64_t i, DocumentContent content) {
    switch (content) {
      case DocumentContent::kText:
        text(i);
        break;
      case DocumentContent::kTokenIds:
        ids(i);
        break;
      case DocumentContent::kConversations:
        messages(i);
        break;
    }
  }

  // What record i has in the column.
  template <class Json>
  Json& value_of(Json& record, const std::string& column, int64_t i) const {
    if (!record.is_object()) fail(i, std::string("a record is an object, here is a JSON ") + record.type_name());
    auto value = record.find(column);
    if (value == record.end()) {
      std::string names;
      for (const auto& [name, unused] : record.items()) names += (names.empty() ? "" : ", ") + name;
      fail(i, fmt::format(
                  "no column '{}'; the columns are: {} (train_data_columns or eval_data_columns names the one that "
                  "is read)",
                  column, names));
    }
    return *value;
  }

  template <class Json>
  std::string text_of(Json& record, const std::string& column, int64_t i) const {
    Json& value = value_of(record, column, i);
    if (!value.is_string()) {
      fail(i, fmt::format(
                  "column '{}' holds a JSON {}, not a string{}", column, value.type_name(),
                  value.is_array() ? "; tokenize_train_data=False (tokenize_eval_data) takes lists of token ids" : ""));
    }
    return std::move(value.template get_ref<std::string&>());
  }

  template <class Json>
  Json parse(int64_t i) {
    std::string_view record = files_.text(i);
    if (const auto refusal = json_refusal(record)) {
      fail(i, fmt::format("at column {}: {}", refusal->place + 1, refusal->text));
    }
    try {
      return Json::parse(record);
    } catch (const json::exception& e) {
      fail(i, json_line_mistake(e));
    }
  }

  // A record a line, lines of white space only left aside; a .json file may be one list of records instead.
  void index(size_t file) {
    if (!unpacked_name(files_.path(file)).ends_with(".jsonl")) {
      if (std::optional<size_t> list = list_begin(file)) return index_list(file, *list);
    }
    files_.for_each_line(file, [&](const TextLine& line) {
      if (!line.blank) files_.add(file, line.begin, line.end - line.begin);
    });
  }

  // Where the file's list begins, if it is one: its first character that is no white space.
  std::optional<size_t> list_begin(size_t file) const {
    constexpr size_t kSearched = 4096;
    std::optional<size_t> begin;
    size_t from = files_.start(file);
    files_.for_each_block(file, from, std::min(files_.size_of(file), from + kSearched),
                          [&](size_t offset, std::string_view bytes) {
                            size_t first = bytes.find_first_not_of(" \t\r\n");
                            if (first != std::string_view::npos && bytes[first] == '[') begin = offset + first;
                          });
    return begin;
  }

  void index_list(size_t file, size_t begin) {
    ListCutter list(files_.path(file), file, files_);
    files_.for_each_block(file, begin, files_.size_of(file),
                          [&](size_t offset, std::string_view bytes) { list.add(offset, bytes); });
    list.finish();
  }

  [[noreturn]] void fail(int64_t i, const std::string& message) const { throw FormatError(files_.where(i), message); }

  LineFiles files_;
  std::string column_;
  std::string answer_column_;
  std::string text_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_jsonl(const std::vector<std::string>& paths, const SourceOptions& options) {
  return std::make_unique<JsonlSource>(paths, options);
}

}  // namespace fathom
