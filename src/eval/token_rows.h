// Rows of tokens on their way into programs that score them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "session/state_io.h"

namespace fathom {

// The model's part of a batch. Rows are filled up on the right with places of segment 0, and rows that are not there
// are empty: attention is causal and looks at the own segment only, so that real places are as they would be alone.
NamedArrays upload_rows(const Session& session, const StateSpec& spec, const BatchShape& shape,
                        std::span<const std::vector<int32_t>> rows);

// ---- rows of different lengths ----

struct RowBatchLimits {
  int64_t tokens = 0;    // of a batch, filling included; one row may have more
  int64_t shortest = 1;  // no batch's rows are shorter
  size_t lengths = 8;    // that rows are filled up to, at most
};

struct RowBatch {
  BatchShape shape;
  std::vector<size_t> rows;  // numbers of rows, no more than shape.rows
};

// Batches in which every row, of `lengths` tokens, is once: of few shapes, each of which costs a program, and with
// little filling. Longest rows first.
std::vector<RowBatch> batches_by_length(std::span<const int64_t> lengths, const StateSpec& spec,
                                        const RowBatchLimits& limits);

// Logits behind the last token of each row. What an object holds is references, and the program of the last shape.
class LastLogits {
 public:
  LastLogits(const Session& session, const Config& config, const StateSpec& spec, State& state)
      : session_(session), config_(config), spec_(spec), state_(state) {}

  // f32 [shape.rows v]; the rows are the first ones.
  HostArray of(const BatchShape& shape, std::span<const std::vector<int32_t>> rows);

  double compile_seconds() const { return compile_seconds_; }

 private:
  struct Program {
    BatchShape shape;
    Compiled compiled;
  };
  const Session& session_;
  const Config& config_;
  const StateSpec& spec_;
  State& state_;
  std::optional<Program> program_;
  double compile_seconds_ = 0;
};

}  // namespace fathom
