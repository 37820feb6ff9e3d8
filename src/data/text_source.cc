#include <optional>

#include "base/error.h"
#include "data/documents.h"
#include "data/line_files.h"

namespace fathom {

namespace {

// Documents of text files: their runs of lines between empty lines, or their lines.
class TextSource final : public DocumentSource {
 public:
  TextSource(const std::vector<std::string>& paths, bool lines) : files_(paths) {
    for (size_t file = 0; file < files_.files(); ++file) {
      if (lines) {
        add_lines(file);
      } else {
        add_paragraphs(file);
      }
    }
    if (files_.size() == 0) throw FormatError(paths[0], "no text: the file holds empty lines only, or nothing");
  }

  int64_t size() const override { return files_.size(); }
  std::vector<DocumentBlock> blocks() const override { return {{.documents = files_.size()}}; }
  std::string_view text(int64_t i) override { return files_.text(i); }
  std::string where(int64_t i) const override { return files_.where(i); }

 private:
  static size_t text_end(const TextLine& line) { return line.end - (line.ends_in_cr ? 1 : 0); }

  // Every line, empty ones too.
  void add_lines(size_t file) {
    files_.for_each_line(file,
                         [&](const TextLine& line) { files_.add(file, line.begin, text_end(line) - line.begin); });
  }

  // A document is a run of lines that are not empty, without its last line end. Text files have no other mark of where
  // a document ends, and this one is the usual one.
  void add_paragraphs(size_t file) {
    std::optional<size_t> begin;
    size_t end = 0;
    auto finish = [&] {
      if (begin) files_.add(file, *begin, end - *begin);
      begin.reset();
    };
    files_.for_each_line(file, [&](const TextLine& line) {
      if (line.empty()) return finish();
      if (!begin) begin = line.begin;
      end = text_end(line);
    });
    finish();
  }

  LineFiles files_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_text(const std::vector<std::string>& paths) {
  return std::make_unique<TextSource>(paths, /*lines=*/false);
}

std::unique_ptr<DocumentSource> open_lines(const std::vector<std::string>& paths) {
  return std::make_unique<TextSource>(paths, /*lines=*/true);
}

}  // namespace fathom
