#include "fused/expert_chunks.h"

#include <algorithm>

#include "graph/region_ops.h"

namespace fathom {
namespace {

// [e ...] -> [chunk e ...]
Value in_chunks(Value x, int64_t at_once) {
  return split_axis(x, "e", {{"chunk", x.size("e") / at_once}, {"e", at_once}});
}

// Twice as many rows, so that a slice of as many as there were may begin at any of them.
TensorType with_spare_rows(const TensorType& type) {
  std::vector<Axis> axes(type.shape.begin(), type.shape.end());
  axes[0].size *= 2;
  return {type.dtype, Shape(std::move(axes))};
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

// Each chunk writes as many rows as there are in all, from where its own begin: what it writes behind them the next
// chunk writes again, and what the last one spills is cut off.
ChunkResults by_chunks(const ExpertRows& all, int64_t at_once, const std::vector<TensorType>& row_results,
                       const std::function<ChunkResults(const ExpertRows&)>& work) {
  const int64_t chunks = all.sizes.size("e") / at_once;
  if (chunks == 1) return work(all);
  Graph& g = all.sizes.graph();
  const Axis m = all.rows[0].shape()[0];
  std::vector<Value> padded, init;
  for (const Value& v : all.rows) padded.push_back(pad(v, m.name, 0, m.size));
  for (const TensorType& type : row_results) init.push_back(zeros(g, with_spare_rows(type)));
  Value begins = in_chunks(cumsum(all.sizes, "e") - all.sizes, at_once);  // [chunk e]: the first row of each expert
  std::vector<Value> stacks{squeeze(slice(begins, "e", 0, 1), "e"), in_chunks(all.sizes, at_once)};
  for (const Value& v : all.matrices) stacks.push_back(in_chunks(v, at_once));

  auto chunk = [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
    ExpertRows part{.rows = {}, .sizes = slices[1], .matrices = {slices.begin() + 2, slices.end()}};
    for (const Value& v : padded) part.rows.push_back(dynamic_slice(v, m.name, slices[0], m.size));
    ChunkResults made = work(part);
    ScanBody body{.carry = {}, .stack = made.matrices};
    for (size_t i = 0; i < carry.size(); ++i) {
      body.carry.push_back(dynamic_update_slice(carry[i], made.rows[i], m.name, slices[0]));
    }
    return body;
  };
  ScanResult done = scan(g, {.axis = "chunk", .length = chunks}, std::move(init), std::move(stacks), chunk);
  ChunkResults out;
  for (const Value& v : done.carry) out.rows.push_back(slice(v, m.name, 0, m.size));
  for (const Value& v : done.stack) out.matrices.push_back(merge_axes(v, "chunk e", "e"));
  return out;
}

}  // namespace fathom
