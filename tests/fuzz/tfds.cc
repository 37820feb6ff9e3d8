#include "base/tf_record.h"
#include "data/documents.h"
#include "targets.h"

namespace fathom {

void fuzz_tfds(std::string_view input) {
  if (input.empty()) return;
  const bool framed = input[0] % 2 == 0;
  std::string bytes;
  if (framed) append_tf_record(bytes, input.substr(1));
  const std::string path = fuzz_folder().write("x", framed ? std::string_view(bytes) : input.substr(1));
  const auto size = static_cast<int64_t>(framed ? bytes.size() : input.size() - 1);
  for (const DocumentContent content : {DocumentContent::kText, DocumentContent::kTokenIds}) {
    expect_error_at_most([&] {
      const std::unique_ptr<DocumentSource> source =
          open_tf_records({{path, framed ? 1 : 3, size}}, {.column = "text", .content = content, .check_first = false});
      for (int64_t i = source->size() - 1; i >= 0; --i) {
        if (content == DocumentContent::kTokenIds) {
          source->ids(i);
        } else {
          source->text(i);
        }
      }
    });
  }
}

}  // namespace fathom
