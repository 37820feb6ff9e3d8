#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/documents.h"
#include "data/line_files.h"

namespace fathom {

namespace {

using nlohmann::json;

class JsonlSource final : public DocumentSource {
 public:
  JsonlSource(const std::vector<std::string>& paths, const SourceOptions& options)
      : files_(paths), column_(options.column) {
    for (size_t file = 0; file < files_.files(); ++file) {
      int64_t first = files_.size();
      index(file);
      if (files_.size() > first) text(first);  // a wrong column shows before anything is compiled
    }
    if (files_.size() == 0) throw FormatError(paths[0], "no records: the file is empty");
  }

  int64_t size() const override { return files_.size(); }
  std::vector<DocumentBlock> blocks() const override { return {{files_.size(), files_.total_bytes()}}; }
  std::string where(int64_t i) const override { return files_.where(i); }

  std::string_view text(int64_t i) override {
    json record;
    try {
      record = json::parse(files_.text(i));
    } catch (const json::exception& e) {
      // The library's text begins with its own name of the error, "[...] ", and for a parse error with a line number
      // within the record, always 1.
      const auto* parse = dynamic_cast<const json::parse_error*>(&e);
      std::string_view reason = e.what();
      std::string_view head = parse ? ": " : "] ";
      reason.remove_prefix(std::min(reason.find(head), reason.size() - head.size()) + head.size());
      fail(i, fmt::format("not JSON: {}{}", parse ? fmt::format("at column {}: ", parse->byte) : "", reason));
    }
    if (!record.is_object()) fail(i, std::string("a record is an object, here is a JSON ") + record.type_name());
    auto value = record.find(column_);
    if (value == record.end()) {
      std::string names;
      for (const auto& [name, unused] : record.items()) names += (names.empty() ? "" : ", ") + name;
      fail(i, fmt::format(
                  "no column '{}'; the columns are: {} (train_data_columns or eval_data_columns names the one with "
                  "the text)",
                  column_, names));
    }
    if (!value->is_string())
      fail(i, fmt::format("column '{}' holds a JSON {}, not a string", column_, value->type_name()));
    text_ = std::move(value->get_ref<std::string&>());
    return text_;
  }

 private:
  // Lines of white space only are left aside.
  void index(size_t file) {
    std::string_view bytes = files_.bytes(file);
    for (size_t line = files_.start(file); line < bytes.size();) {
      size_t stop = std::min(bytes.find('\n', line), bytes.size());
      if (bytes.substr(line, stop - line).find_first_not_of(" \t\r") != std::string_view::npos) {
        files_.add(file, line, stop - line);
      }
      line = stop + 1;
    }
  }

  [[noreturn]] void fail(int64_t i, const std::string& message) const { throw FormatError(files_.where(i), message); }

  LineFiles files_;
  std::string column_;
  std::string text_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_jsonl(const std::vector<std::string>& paths, const SourceOptions& options) {
  return std::make_unique<JsonlSource>(paths, options);
}

}  // namespace fathom
