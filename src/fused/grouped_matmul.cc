#include "fused/grouped_matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "fused/grouped_matmul_gpu.h"
#include "fused/kernel_call.h"
#include "graph/fused_op.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// FusedAttrs::ints of both ops: {transposed}; grouped_outer has none.
bool transposed(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

const Axis& axis(const Value& v, int i) { return v.shape()[i]; }

// ---- shape rules ----

void check_groups(const InferContext& c, int sizes, const Axis* experts) {
  const TensorType& type = c.type(sizes);
  if (type.dtype != DType::kS32 || type.shape.rank() != 1) c.fail("the group sizes must be s32 with one axis");
  if (experts != nullptr && type.shape[0] != *experts) {
    c.fail(fmt::format("{} group sizes for {} matrices (axes '{}' and '{}')", type.shape[0].size, experts->size,
                       type.shape[0].name, experts->name));
  }
}

std::vector<TensorType> infer_matmul(const InferContext& c) {
  const TensorType& x = c.type(0);
  const TensorType& w = c.type(1);
  if (x.shape.rank() != 2 || w.shape.rank() != 3) c.fail("grouped_matmul takes rows [m k] and matrices [e n k]");
  if (x.dtype != w.dtype) c.fail("grouped_matmul needs rows and matrices of one type");
  check_groups(c, 2, &w.shape[0]);
  bool t = transposed(c.attr<FusedAttrs>());
  const Axis& contracted = w.shape[t ? 1 : 2];
  if (x.shape[1] != contracted) {
    c.fail(fmt::format("contracted axis is '{}' of {} in the rows, '{}' of {} in the matrices", x.shape[1].name,
                       x.shape[1].size, contracted.name, contracted.size));
  }
  return {{x.dtype, Shape{x.shape[0], w.shape[t ? 2 : 1]}}};
}

std::vector<TensorType> infer_outer(const InferContext& c) {
  const TensorType& a = c.type(0);
  const TensorType& b = c.type(1);
  if (a.shape.rank() != 2 || b.shape.rank() != 2 || a.shape[0] != b.shape[0]) {
    c.fail("grouped_outer takes [m n] and [m k] with the same rows");
  }
  if (a.dtype != b.dtype) c.fail("grouped_outer needs operands of one type");
  check_groups(c, 2, nullptr);
  return {{a.dtype, Shape{c.type(2).shape[0], a.shape[1], b.shape[1]}}};
}

// ---- composed references ----

// Rows a tile: a quarter of the mean group, so that the last tile of a group computes little for nothing (12 % on
// average), and never so small that a product is all overhead. A power of two, so that neighbouring configurations
// share shapes.
int64_t tile_rows(int64_t rows, int64_t groups) {
  auto quarter = static_cast<uint64_t>(rows / (4 * std::max<int64_t>(groups, 1)));
  return static_cast<int64_t>(std::clamp<uint64_t>(std::bit_ceil(quarter), 16, 128));
}

Value exclusive_sum(Value sizes) { return cumsum(sizes, sizes.shape()[0].name) - sizes; }

Value s32(Graph& g, double value) { return constant(g, value, {DType::kS32, {}}); }

// Repeats `step(row, state)` for the tiles of one group: row = 0, tile, 2 tile, ... < size.
std::vector<Value> for_tiles(Graph& g, Value size, int64_t tile, std::vector<Value> state,
                             const std::function<std::vector<Value>(Value row, std::vector<Value> state)>& step) {
  state.insert(state.begin(), s32(g, 0));
  auto out = while_loop(
      g, std::move(state), [&](std::span<const Value> s) { return less(s[0], size); },
      [&](std::span<const Value> s) {
        std::vector<Value> next = step(s[0], {s.begin() + 1, s.end()});
        next.insert(next.begin(), s[0] + tile);
        return next;
      });
  return {out.begin() + 1, out.end()};
}

// Group after group, tile after tile: a tile that reaches beyond its group writes rows that the next group overwrites,
// and the last group's spill lands in rows that are cut off. So no row needs a mask or a gather.
std::vector<Value> reference_matmul(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& g) {
  const Value &x = operands[0], &w = operands[1], &sizes = operands[2];
  const Axis rows = axis(x, 0);
  const Axis out_axis = axis(w, transposed(attrs) ? 2 : 1);
  const int64_t tile = tile_rows(rows.size, axis(w, 0).size);
  Value padded = pad(x, rows.name, 0, tile);
  Value out = zeros(g, {x.dtype(), Shape{{rows.name, rows.size + tile}, out_axis}});
  auto groups = scan(g, {.axis = axis(w, 0).name, .length = axis(w, 0).size}, {out}, {w, sizes, exclusive_sum(sizes)},
                     [&](Value, std::span<const Value> carry, std::span<const Value> slice) {
                       Value matrix = slice[0], start = slice[2];
                       auto filled = for_tiles(g, slice[1], tile, {carry[0]}, [&](Value row, std::vector<Value> state) {
                         Value at = start + row;
                         Value part = dot(dynamic_slice(padded, rows.name, at, tile), matrix, axis(x, 1).name);
                         return std::vector<Value>{dynamic_update_slice(state[0], part, rows.name, at)};
                       });
                       return ScanBody{.carry = filled, .stack = {}};
                     });
  return {slice(groups.carry[0], rows.name, 0, rows.size)};
}

std::vector<Value> reference_outer(const std::vector<Value>& operands, const FusedAttrs&, Graph& g) {
  const Value &a = operands[0], &b = operands[1], &sizes = operands[2];
  const Axis rows = axis(a, 0);
  const int64_t tile = tile_rows(rows.size, axis(sizes, 0).size);
  Value padded_a = pad(a, rows.name, 0, tile);
  Value padded_b = pad(b, rows.name, 0, tile);
  Shape matrix{axis(a, 1), axis(b, 1)};
  auto groups = scan(g, {.axis = axis(sizes, 0).name, .length = axis(sizes, 0).size}, {}, {sizes, exclusive_sum(sizes)},
                     [&](Value, std::span<const Value>, std::span<const Value> slice) {
                       Value size = slice[0], start = slice[1];
                       auto sums = for_tiles(
                           g, size, tile, {zeros(g, {DType::kF32, matrix})}, [&](Value row, std::vector<Value> state) {
                             Value part_a = dynamic_slice(padded_a, rows.name, start + row, tile);
                             Value part_b = dynamic_slice(padded_b, rows.name, start + row, tile);
                             // Rows beyond the group belong to the next one.
                             Value inside = less(iota(g, DType::kS32, Shape{{rows.name, tile}}, rows.name), size - row);
                             part_a = select(broadcast(inside, part_a.shape()), part_a, 0);
                             return std::vector<Value>{state[0] + dot(part_a, part_b, rows.name, {.out = DType::kF32})};
                           });
                       return ScanBody{.carry = {}, .stack = {convert(sums[0], a.dtype())}};
                     });
  return {groups.stack[0]};
}

// ---- derivatives ----

// y = x W^T: dx = dy W, dW = dy^T x. Transposed, y = x W: dx = dy W^T, dW = x^T dy.
void vjp_matmul(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy) return;
  bool t = transposed(c.node().attr<FusedAttrs>());
  if (c.wants(0)) c.add(0, grouped_matmul(dy, c.operand(1), c.operand(2), {.transposed = !t}));
  if (c.wants(1)) {
    c.add(1, t ? grouped_outer(c.operand(0), dy, c.operand(2)) : grouped_outer(dy, c.operand(0), c.operand(2)));
  }
}

// w = a^T b: da = b dw^T, db = a dw.
void vjp_outer(VjpContext& c) {
  Value dw = c.cotangent();
  if (!dw) return;
  if (c.wants(0)) c.add(0, grouped_matmul(c.operand(1), dw, c.operand(2)));
  if (c.wants(1)) c.add(1, grouped_matmul(c.operand(0), dw, c.operand(2), {.transposed = true}));
}

// ---- the forms ----

std::vector<Value> kernel_matmul(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kGroupedMatmul, 1, reason)) return {};
  Graph& g = c.graph();
  StackRef stack;
  if (auto ref = c.stack_of(1)) {
    stack = *ref;
  } else {
    stack = {expand(c.operands()[1], "layer"), s32(g, 0)};
  }
  CustomCall call{.target = std::string(abi::kGroupedMatmul), .results = c.node().results};
  call.config = {{std::string(abi::kTransposed), transposed(c.node().attr<FusedAttrs>()) ? "1 : i64" : "0 : i64"}};
  return custom_call(g, call, {c.operands()[0], stack.stack, c.operands()[2], stack.index});
}

bool outer_has_kernel(const Node& node, const Target& target) {
  std::string reason;
  return takes_kernel(target, abi::kGroupedOuter, node.operands, 1, reason);
}

std::vector<Value> kernel_outer(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kGroupedOuter, 1, reason)) return {};
  Graph& g = c.graph();
  const std::vector<Value>& in = c.operands();
  const TensorType& matrices = c.node().results[0];
  std::optional<StackRef> into = c.destination();
  if (!into) {
    std::vector<Axis> axes{{"layer", 1}};
    axes.insert(axes.end(), matrices.shape.begin(), matrices.shape.end());
    into = StackRef{empty(g, {matrices.dtype, Shape(axes)}), s32(g, 0)};
  }
  CustomCall call{.target = std::string(abi::kGroupedOuter), .results = {into->stack.type()}, .aliases = {{0, 4}}};
  std::vector<Value> written = custom_call(g, call, {in[0], in[1], in[2], into->index, into->stack});
  return c.destination() ? written : std::vector<Value>{squeeze(written[0], "layer")};
}

std::vector<Value> gpu_matmul(LoweringContext& c, std::string&) {
  return {tiled_matmul(c.operands()[0], c.operands()[1], c.operands()[2])};
}

std::vector<Value> gpu_outer(LoweringContext& c, std::string&) {
  return {tiled_outer(c.operands()[0], c.operands()[1], c.operands()[2])};
}

// TPUs have the grouped product itself, in every operand order that is needed here.
std::vector<Value> tpu_matmul(LoweringContext& c, std::string&) {
  const std::vector<Value>& in = c.operands();
  return {ragged_dot(in[0], in[1], in[2], axis(in[0], 1).name, c.node().where)};
}

std::vector<Value> tpu_outer(LoweringContext& c, std::string&) {
  const std::vector<Value>& in = c.operands();
  return {ragged_dot(in[0], in[1], in[2], axis(in[0], 0).name, c.node().where)};
}

// Each row meets one matrix.
double matmul_flops(const Node& node, const Target&) {
  const Shape& w = node.operands[1].shape();
  return 2.0 * static_cast<double>(node.operands[0].shape()[0].size) * static_cast<double>(w[1].size * w[2].size);
}

double outer_flops(const Node& node, const Target&) {
  const Shape &a = node.operands[0].shape(), &b = node.operands[1].shape();
  return 2.0 * static_cast<double>(a[0].size) * static_cast<double>(a[1].size * b[1].size);
}

const FusedOp kMatmul{.name = "grouped_matmul",
                      .infer = infer_matmul,
                      .reference = reference_matmul,
                      .vjp = vjp_matmul,
                      .forms = {.cpu = kernel_matmul, .gpu = gpu_matmul, .tpu = tpu_matmul},
                      .flops = matmul_flops};
const FusedOp kOuter{.name = "grouped_outer",
                     .infer = infer_outer,
                     .reference = reference_outer,
                     .vjp = vjp_outer,
                     .forms = {.cpu = kernel_outer, .gpu = gpu_outer, .tpu = tpu_outer},
                     .flops = outer_flops,
                     .writes_stack = outer_has_kernel};

}  // namespace

Value grouped_matmul(Value x, Value w, Value group_sizes, GroupedOptions options, Where where) {
  FusedAttrs attrs{.ints = {options.transposed ? 1 : 0}};
  return fused(x.graph(), kMatmul, {x, w, group_sizes}, std::move(attrs), where)[0];
}

Value grouped_outer(Value a, Value b, Value group_sizes, Where where) {
  return fused(a.graph(), kOuter, {a, b, group_sizes}, {}, where)[0];
}

}  // namespace fathom
