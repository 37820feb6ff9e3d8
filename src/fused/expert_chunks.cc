#include "fused/expert_chunks.h"

#include <algorithm>

#include "graph/region_ops.h"

namespace fathom {
namespace {

// [e ...] -> [chunk e ...]
Value in_chunks(Value x, int64_t at_once) {
  return split_axis(x, "e", {{"chunk", x.size("e") / at_once}, {"e", at_once}});
}

// With room behind the last row, so that a window may begin at any of them.
TensorType with_spare_rows(const TensorType& type, int64_t spare) {
  std::vector<Axis> axes(type.shape.begin(), type.shape.end());
  axes[0].size += spare;
  return {type.dtype, Shape(std::move(axes))};
}

// Twice a chunk's mean, so that most chunks need one window; all rows where they are few.
int64_t rows_of_window(int64_t rows, int64_t chunks, int64_t most) {
  constexpr int64_t kTile = 128;
  if (rows <= 2 * most) return rows;
  const int64_t some = std::min((2 * rows + chunks - 1) / chunks, most);
  return std::min(some < kTile ? some : (some + kTile - 1) / kTile * kTile, rows);
}

// The rows of a chunk's experts: where each begins, and how many it has; [e] s32.
struct ChunkRows {
  Value begins, sizes;
};

// Of each expert, how many of its rows are among the `count` ones from `begin` on.
Value inside(const ChunkRows& chunk, Value begin, int64_t count) {
  Value end = minimum(chunk.begins + chunk.sizes, begin + count);
  return maximum(end - maximum(chunk.begins, begin), 0);
}

// The row-wise results, each written from row `begin` on.
std::vector<Value> written(std::span<const Value> into, const std::vector<Value>& made, std::string_view axis,
                           Value begin) {
  std::vector<Value> out;
  for (size_t i = 0; i < made.size(); ++i) out.push_back(dynamic_update_slice(into[i], made[i], axis, begin));
  return out;
}

Value sum_of(Value a, Value b) { return convert(convert(a, DType::kF32) + convert(b, DType::kF32), a.dtype()); }

// `results`: the row-wise ones so far. Each window writes all its rows: what it writes behind the chunk's own the next
// chunk writes again. The first window stands before the loop: most chunks have no other, and what is summed over
// windows is large.
ChunkResults in_windows(const ChunkWork& all, const ChunkRows& chunk, const std::vector<Value>& matrices,
                        std::span<const Value> results, int64_t window) {
  Value first = squeeze(slice(chunk.begins, "e", 0, 1), "e"), end = first + reduce_sum(chunk.sizes, "e");
  auto work_from = [&](Value begin) {
    return all.work({.rows = all.rows_at(begin, window), .sizes = inside(chunk, begin, window), .matrices = matrices});
  };
  ChunkResults made = work_from(first);
  std::vector<Value> state = written(results, made.rows, all.rows.name, first);
  state.insert(state.begin(), first + window);
  state.insert(state.end(), made.matrices.begin(), made.matrices.end());
  state = while_loop(
      all.sizes.graph(), state, [&](std::span<const Value> s) { return less(s[0], end); },
      [&](std::span<const Value> s) {
        ChunkResults more = work_from(s[0]);
        std::vector<Value> next = written(s.subspan(1), more.rows, all.rows.name, s[0]);
        next.insert(next.begin(), s[0] + window);
        for (const Value& m : more.matrices) next.push_back(sum_of(s[next.size()], m));
        return next;
      });
  const auto rows_end = state.begin() + 1 + static_cast<std::ptrdiff_t>(results.size());
  ChunkResults out{.rows = {state.begin() + 1, rows_end}, .matrices = {rows_end, state.end()}};
  for (Value& m : out.matrices) m = all.scatter(m);
  return out;
}

ChunkResults at_once_of(const ChunkWork& all, const ExpertRows& part) {
  ChunkResults out = all.work(part);
  for (Value& m : out.matrices) m = all.scatter(m);
  return out;
}

}  // namespace

int64_t experts_at_once(Value w_gate, int64_t parts, int64_t gathered_bytes) {
  const int64_t experts = w_gate.size("e");
  if (parts == 1) return experts;
  const int64_t bytes = w_gate.type().bytes() / experts * parts;  // of one whole matrix
  int64_t most = std::clamp<int64_t>(gathered_bytes / bytes, 1, experts);
  while (experts % most != 0) --most;
  return most;
}

ChunkResults by_chunks(const ChunkWork& all, int64_t at_once) {
  const int64_t chunks = all.sizes.size("e") / at_once, rows = all.rows.size;
  if (chunks == 1) {
    return at_once_of(all, {.rows = all.rows_at({}, rows), .sizes = all.sizes, .matrices = all.gather(all.matrices)});
  }
  Graph& g = all.sizes.graph();
  const int64_t window = rows_of_window(rows, chunks, all.most_rows);
  std::vector<Value> init;
  for (const TensorType& type : all.row_results) init.push_back(zeros(g, with_spare_rows(type, window)));
  std::vector<Value> stacks{in_chunks(cumsum(all.sizes, "e") - all.sizes, at_once), in_chunks(all.sizes, at_once)};
  for (const Value& v : all.matrices) stacks.push_back(in_chunks(v, at_once));

  auto chunk = [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
    const ChunkRows own{.begins = slices[0], .sizes = slices[1]};
    std::vector<Value> matrices = all.gather({slices.begin() + 2, slices.end()});
    if (window < rows) {
      ChunkResults made = in_windows(all, own, matrices, carry, window);
      return ScanBody{.carry = made.rows, .stack = made.matrices};
    }
    Value begin = squeeze(slice(own.begins, "e", 0, 1), "e");
    ChunkResults made =
        at_once_of(all, {.rows = all.rows_at(begin, rows), .sizes = own.sizes, .matrices = std::move(matrices)});
    return ScanBody{.carry = written(carry, made.rows, all.rows.name, begin), .stack = made.matrices};
  };
  ScanResult done = scan(g, {.axis = "chunk", .length = chunks}, std::move(init), std::move(stacks), chunk);
  ChunkResults out;
  for (const Value& v : done.carry) out.rows.push_back(slice(v, all.rows.name, 0, rows));
  for (const Value& v : done.stack) out.matrices.push_back(merge_axes(v, "chunk e", "e"));
  return out;
}

}  // namespace fathom
