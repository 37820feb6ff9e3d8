// Work on the experts of one device some at a time, so that only those experts' matrices are whole at once.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/ops.h"

namespace fathom {

// Of some experts: rows sorted by expert, and what each expert has.
struct ExpertRows {
  std::vector<Value> rows;      // [m ...] each; rows behind the last group count for nothing
  Value sizes;                  // [e] s32: the rows of each expert
  std::vector<Value> matrices;  // [e ...] each
};

// One gathered matrix of a chunk of experts has at most this many bytes. Three gathered matrices and three gradients
// lie side by side. At 1 GiB (32 experts of DeepSeek-V3) a chunk takes milliseconds to gather and to multiply, beside
// which starting a collective is nothing.
constexpr int64_t kGatheredBytes = int64_t{1} << 30;

// How many experts to gather at a time, a divisor of those of w_gate [e ...]; all of them where nothing is gathered.
// `parts`: the devices over which each matrix is split.
int64_t experts_at_once(Value w_gate, int64_t parts, int64_t gathered_bytes);

// Calls `work` for `at_once` experts after the others. It is handed rows of which the chunk's come first, and returns
// row-wise results of the types `row_results` (m rows as the operands) and expert-wise ones ([e ...], in any number):
// those of all experts are put together and come back in the same order.
struct ChunkResults {
  std::vector<Value> rows, matrices;
};
ChunkResults by_chunks(const ExpertRows& all, int64_t at_once, const std::vector<TensorType>& row_results,
                       const std::function<ChunkResults(const ExpertRows&)>& work);

}  // namespace fathom
