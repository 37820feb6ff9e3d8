#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/documents.h"
#include "targets.h"

namespace fathom {

void fuzz_parquet(std::string_view input) {
  const std::string path = fuzz_folder().write("x.parquet", input);
  for (const DocumentContent content : {DocumentContent::kText, DocumentContent::kConversations}) {
    const bool text = content == DocumentContent::kText;
    expect_error_at_most([&] {
      const std::unique_ptr<DocumentSource> source =
          open_parquet({path}, {.column = text ? "text" : "messages", .content = content, .cache_bytes = kFuzzRead});
      const int64_t documents = std::min<int64_t>(source->size(), 100);
      for (int64_t i = 0; i < documents; ++i) {
        if (text) {
          source->text(i);
        } else {
          source->messages(i);
        }
      }
    });
  }
}

}  // namespace fathom
