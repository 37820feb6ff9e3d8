#include "drive/example.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/counted.h"
#include "base/error.h"
#include "base/terminal.h"

namespace fathom {
namespace {

// A row, read from the batch's arrays.
class ExampleRow {
 public:
  ExampleRow(const Batch& batch, const Tokenizer& tokenizer)
      : ids_(row_of(batch.inputs, batch.length)),
        segments_(row_of(batch.inputs_segmentation, batch.length)),
        targets_(row_of(batch.targets_segmentation, batch.length)),
        tokenizer_(tokenizer) {}

  int64_t filled() const {
    return std::ranges::count_if(segments_, [](int32_t s) { return s != 0; });
  }
  int64_t trained() const {
    return std::ranges::count_if(targets_, [](int32_t s) { return s != 0; });
  }
  int32_t documents() const { return std::ranges::max(segments_); }

  // Document `number`, counted from 1.
  std::string document(int32_t number) const {
    std::string out;
    const auto first = static_cast<size_t>(std::ranges::find(segments_, number) - segments_.begin());
    for (size_t i = first; i < ids_.size() && segments_[i] == number;) {
      const bool trained = is_trained(i);
      size_t end = i + 1;
      while (end < ids_.size() && segments_[end] == number && is_trained(end) == trained) ++end;
      const std::string text = tokenizer_.decode(ids_.subspan(i, end - i));
      out += trained ? fmt::format("\u27e6{}\u27e7", text) : text;
      i = end;
    }
    return out;
  }

 private:
  static std::span<const int32_t> row_of(const HostArray& array, int64_t length) {
    return array.view<int32_t>().first(static_cast<size_t>(length));
  }
  // Whether token i is the target of the place before it.
  bool is_trained(size_t i) const { return i > 0 && segments_[i - 1] == segments_[i] && targets_[i - 1] != 0; }

  std::span<const int32_t> ids_, segments_, targets_;
  const Tokenizer& tokenizer_;
};

}  // namespace

std::string example_text(const Batch& batch, const Tokenizer& tokenizer) {
  const ExampleRow row(batch, tokenizer);
  const int32_t documents = row.documents();
  std::string out =
      fmt::format("the first row: {}, {} of {} places filled, {}; what is trained stands in \u27e6\u27e7\n",
                  counted(documents, "document"), row.filled(), batch.length, counted(row.trained(), "target"));
  for (int32_t number = 1; number <= documents; ++number) {
    out += fmt::format("--- document {}\n{}\n", number, row.document(number));
  }
  return out + "---\n";
}

void print_example(const Batch& batch, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) throw ConfigError("--show_example: the data are numbers; tokenizer_path gives them words");
  print_untrusted(example_text(batch, *tokenizer));
}

}  // namespace fathom
