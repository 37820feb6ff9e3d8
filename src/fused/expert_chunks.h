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

// Rows that meet the matrices of a chunk together where a device has more than twice as many: enough for products of
// full rate, and a few arrays of them are small beside the matrices.
constexpr int64_t kRowsAtOnce = 16384;

struct ChunkResults {
  std::vector<Value> rows, matrices;
};

// What is done on all experts of a device, which have m rows, sorted by expert.
struct ChunkWork {
  Axis rows;                    // "m"
  Value sizes;                  // [e] s32: the rows of each expert
  std::vector<Value> matrices;  // [e ...] each
  // `count` rows from row `begin` (s32) on, [m ...] each; those behind the last may hold anything. Without `begin`:
  // all.
  std::function<std::vector<Value>(Value begin, int64_t count)> rows_at;
  // The matrices of some experts as `work` needs them.
  std::function<std::vector<Value>(std::vector<Value>)> gather;
  // On rows of some experts with their gathered matrices. Its row-wise results have the types `row_results` but for the
  // number of rows.
  std::function<ChunkResults(const ExpertRows&)> work;
  std::vector<TensorType> row_results;  // [m ...] each
  // An expert-wise result of some experts as it is kept.
  std::function<Value(Value)> scatter;
  int64_t most_rows = kRowsAtOnce;
};

// Does the work for `at_once` experts after the others; results are put together in the order of rows and experts.
// Where there are more than twice `most_rows` rows, a chunk meets its own in windows, so that what the work makes of
// rows is small: as many windows as it has rows for, over which expert-wise results are summed.
ChunkResults by_chunks(const ChunkWork& all, int64_t at_once);

}  // namespace fathom
