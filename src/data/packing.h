// Token rows of one length from documents of many, with the segments and positions that keep the documents apart.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/batch.h"

namespace fathom {

enum class RowForm : uint8_t {
  // A document goes into the first row with room. The targets are the inputs shifted left by one inside a row, so the
  // last place of a document has no loss, unless a token more than a row's length is given: that is the last target.
  kFirstFit,
  // The peer's TFDS pipeline. A document of n tokens takes n - 1 places, each with a target, behind the one before it
  // or, where the row has no room, in the next row. By mask_by_value the padding's token is no input either.
  kOpenRow,
};

struct PackingOptions {
  RowForm form = RowForm::kFirstFit;
  int64_t rows = 0;
  int64_t length = 0;
  // Several whole documents a row, each put into the first row with room; otherwise one document a row.
  bool packing = true;
  // Most documents a row; -1 for any number.
  int64_t max_segments = -1;
  // Fills the rows (0 if there is none).
  std::optional<int32_t> pad_id;
  std::optional<int32_t> bos_id;
  // The peer's rule: no loss where the padding or the begin-of-sentence is the target, wherever it stands. A tokenizer
  // whose padding is its end-of-sentence, as DeepSeek's, then leaves the end of a document untrained.
  bool mask_by_value = false;
};

// Collects the documents of one batch. A place has no loss (targets_segmentation 0) when its target is padding or
// belongs to another document than its input: a matter of places, not of tokens. A packed document's loss is thus that
// of the document alone.
class RowPacker {
 public:
  explicit RowPacker(const PackingOptions& options) : options_(options), rows_(static_cast<size_t>(options.rows)) {}
  // Puts a document of 1 (kOpenRow: 2) to `length` + 1 tokens into the batch, whole; false when no row has room.
  // `counts`: which of the tokens count as targets (data/document.h); empty for all.
  bool place(std::span<const int32_t> tokens, std::span<const uint8_t> counts = {});
  bool empty() const { return documents_ == 0; }
  // Rows that hold a document.
  int64_t used_rows() const;
  bool every_row_used() const { return used_rows() == options_.rows; }
  // The batch of what has been placed; the packer is empty again.
  Batch take();
  // The same without a batch.
  void clear();

 private:
  struct Row {
    std::vector<int32_t> tokens;
    std::vector<uint8_t> counts;  // of `tokens`; empty while all of them count
    std::vector<int64_t> ends;    // of each document in `tokens`
    // The target of each document's last place, where it has one.
    std::vector<std::optional<int32_t>> last_targets;
  };
  // Places that a document takes.
  size_t places(size_t tokens) const;
  bool has_room(const Row& row, size_t places) const;
  std::vector<Row>::iterator row_with_room(size_t places);
  static void add_counts(Row& row, size_t places, std::span<const uint8_t> counts);
  void write_inputs(const Row& row, int64_t index, Batch& batch) const;
  void write_targets(const Row& row, int64_t index, Batch& batch) const;
  void mask_padding_token(int64_t index, Batch& batch) const;

  PackingOptions options_;
  std::vector<Row> rows_;
  size_t open_ = 0;  // row, of kOpenRow
  int64_t documents_ = 0;
};

}  // namespace fathom
