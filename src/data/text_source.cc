#include "base/error.h"
#include "data/documents.h"
#include "data/line_files.h"

namespace fathom {

namespace {

bool is_empty_line(std::string_view line) { return line.empty() || line == "\r"; }

class TextSource final : public DocumentSource {
 public:
  explicit TextSource(const std::vector<std::string>& paths) : files_(paths) {
    for (size_t file = 0; file < files_.files(); ++file) index(file);
    if (files_.size() == 0) throw FormatError(paths[0], "no text: the file holds empty lines only, or nothing");
  }

  int64_t size() const override { return files_.size(); }
  std::vector<DocumentBlock> blocks() const override { return {{files_.size(), files_.total_bytes()}}; }
  std::string_view text(int64_t i) override { return files_.text(i); }
  std::string where(int64_t i) const override { return files_.where(i); }

 private:
  // A document is a run of lines that are not empty, without its last line end. Text files have no other mark of where
  // a document ends, and this one is the usual one.
  void index(size_t file) {
    std::string_view bytes = files_.bytes(file);
    size_t begin = std::string_view::npos;
    size_t end = 0;
    for (size_t line = files_.start(file); line < bytes.size();) {
      size_t stop = std::min(bytes.find('\n', line), bytes.size());
      if (is_empty_line(bytes.substr(line, stop - line))) {
        if (begin != std::string_view::npos) files_.add(file, begin, end - begin);
        begin = std::string_view::npos;
      } else {
        if (begin == std::string_view::npos) begin = line;
        end = bytes[stop - 1] == '\r' ? stop - 1 : stop;
      }
      line = stop + 1;
    }
    if (begin != std::string_view::npos) files_.add(file, begin, end - begin);
  }

  LineFiles files_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_text(const std::vector<std::string>& paths) {
  return std::make_unique<TextSource>(paths);
}

}  // namespace fathom
