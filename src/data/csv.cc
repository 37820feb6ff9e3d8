#include "data/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace fathom {
namespace {

class CsvReader {
 public:
  CsvReader(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  bool at_end() const { return at_ == text_.size(); }
  int64_t line() const { return line_; }

  std::vector<std::string> record() {
    std::vector<std::string> fields(1);
    while (!at_end()) {
      const char c = text_[at_++];
      if (c == ',') {
        fields.emplace_back();
      } else if (c == '"' && fields.back().empty()) {
        take_quoted(fields.back());
      } else if (c == '\n' || c == '\r') {
        if (c == '\r' && !at_end() && text_[at_] == '\n') ++at_;
        ++line_;
        break;
      } else {
        fields.back() += c;
      }
    }
    return fields;
  }

 private:
  // From behind the first quote to behind the last one.
  void take_quoted(std::string& field) {
    const int64_t begun = line_;
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) {
        throw FormatError(path_, fmt::format("line {}: a quoted field has no end", begun));
      }
      const std::string_view part = text_.substr(at_, quote - at_);
      field += part;
      line_ += std::ranges::count(part, '\n');
      at_ = quote + 1;
      if (at_end() || text_[at_] != '"') return;
      field += '"';
      ++at_;
    }
  }

  const std::string& path_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

void for_each_csv_record(const std::string& path, std::string_view text,
                         const std::function<void(int64_t, const std::vector<std::string>&)>& take) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";  // of UTF-8
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  CsvReader reader(path, text);
  while (!reader.at_end()) {
    const int64_t line = reader.line();
    const std::vector<std::string> fields = reader.record();
    if (fields.size() > 1 || !fields[0].empty()) take(line, fields);
  }
}

}  // namespace fathom
