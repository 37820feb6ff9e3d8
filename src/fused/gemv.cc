#include "fused/gemv.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "fused/dequantize.h"
#include "fused/grouped_matmul.h"
#include "fused/kernel_call.h"
#include "graph/fused_op.h"
#include "graph/ops/build.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// How the axes of a weight follow one another: batch axes, then kept and summed ones, or summed and kept ones.
struct Layout {
  int64_t batch = 0, summed = 0;
  bool transposed = false;  // the summed axes come first
  WeightPart part;
  DType out = DType::kF32;

  // FusedAttrs::ints.
  std::vector<int64_t> ints() const {
    return {batch, summed, transposed ? 1 : 0, part.first, part.count, static_cast<int64_t>(out)};
  }
  explicit Layout(const FusedAttrs& attrs)
      : batch(attrs.ints.at(0)),
        summed(attrs.ints.at(1)),
        transposed(attrs.ints.at(2) != 0),
        part{attrs.ints.at(3), attrs.ints.at(4)},
        out(static_cast<DType>(attrs.ints.at(5))) {}
  Layout() = default;

  int64_t summed_from(int64_t rank) const { return transposed ? batch : rank - summed; }
};

using Axes = std::vector<Axis>;

Axes axes_between(const Shape& shape, int64_t from, int64_t to) {
  const Axes& all = shape.axes();
  return {all.begin() + from, all.begin() + to};
}

std::string names_of(const Axes& axes) { return join_names(Shape(axes)); }
int64_t elements_of(const Axes& axes) { return Shape(axes).elements(); }

// A weight's axes by what is done with them, and those of x that are neither summed nor batch axes.
struct Roles {
  Axes batch, summed, kept, others;

  Roles(const Layout& layout, const Shape& x, const Shape& w) {
    Axes own = w.axes();
    own[static_cast<size_t>(layout.batch)].size = layout.part.count;
    const Shape part(own);
    const int64_t rank = part.rank(), from = layout.summed_from(rank), to = from + layout.summed;
    batch = axes_between(part, 0, layout.batch);
    summed = axes_between(part, from, to);
    kept = layout.transposed ? axes_between(part, to, rank) : axes_between(part, layout.batch, from);
    for (const Axis& axis : x) {
      if (part.find(axis.name) < 0) others.push_back(axis);
    }
  }
  Shape result() const {
    Axes all = batch;
    all.insert(all.end(), others.begin(), others.end());
    all.insert(all.end(), kept.begin(), kept.end());
    return Shape(all);
  }
};

// Where axes of the weight of these names begin if they follow one another, else -1.
int64_t run_of(const Shape& w, const std::vector<std::string>& names) {
  const int64_t first = w.find(names.at(0));
  for (size_t i = 0; i < names.size(); ++i) {
    if (first < 0 || w.find(names[i]) != first + static_cast<int64_t>(i)) return -1;
  }
  return first;
}

std::optional<Layout> layout_of(const Shape& x, const Shape& w, std::string_view axes) {
  const std::vector<std::string> summed = split_names(axes);
  const auto is_batch = [&](const Axis& axis) {
    return x.has(axis.name) && std::ranges::count(summed, axis.name) == 0;
  };
  Layout out;
  while (out.batch < w.rank() && is_batch(w[static_cast<int>(out.batch)])) ++out.batch;
  if (std::ranges::count_if(w, is_batch) != out.batch || out.batch == w.rank()) return {};
  out.summed = static_cast<int64_t>(summed.size());
  const int64_t first = run_of(w, summed);
  out.transposed = first != w.rank() - out.summed;
  if (first < 0 || (out.transposed && first != out.batch)) return {};
  out.part = {0, w[static_cast<int>(out.batch)].size};
  return out;
}

// The operands that a weight is: itself, or its numbers of 8 bits and their scales (fused/dequantize.h).
std::vector<Value> operands_of(Value w) {
  if (auto quantized = quantized_weight(w)) return {quantized->q, quantized->scales};
  return {w};
}

// The weight that these operands from `first` on are, in the type of the rows.
Value weight(const std::vector<Value>& in, size_t first, DType dtype) {
  return in.size() > first + 1 ? dequantize(in[first], in[first + 1], dtype) : convert(in[first], dtype);
}

// ---- gemv: operands x, weight ----

std::vector<TensorType> infer(const InferContext& c) {
  const Layout layout(c.attr<FusedAttrs>());
  const Roles axes(layout, c.type(0).shape, c.type(1).shape);
  for (const Axis& axis : axes.summed) {
    const int at = c.type(0).shape.find(axis.name);
    if (at < 0 || c.type(0).shape[at] != axis)
      c.fail(fmt::format("the rows have no axis '{}' of {}", axis.name, axis.size));
  }
  return {{layout.out, axes.result()}};
}

Value part_of(const Layout& layout, Value w) {
  const Axis& axis = w.shape()[static_cast<int>(layout.batch)];
  if (layout.part.count == axis.size) return w;
  return slice(w, axis.name, layout.part.first, layout.part.first + layout.part.count);
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const Layout layout(attrs);
  const Roles axes(layout, in[0].shape(), in[1].shape());
  Value w = part_of(layout, weight(in, 1, in[0].dtype()));
  return {dot(in[0], w, names_of(axes.summed), {.out = layout.out})};
}

// Matrices as the kernel takes them: stacks [l e m k], or [l e m groups] of scales, and the layer.
struct Matrices {
  std::vector<Value> stacks;
  Value layer;
};

// The operands from `first` on, weight and perhaps scales, as e matrices of m rows.
Matrices matrices(const LoweringContext& c, size_t first, int64_t e, int64_t m) {
  Matrices out;
  for (size_t i = first; i < c.operands().size(); ++i) {
    const Value& w = c.operands()[i];
    const Value zero = constant(w.graph(), 0, {DType::kS32, {}});
    const StackRef ref = c.stack_of(static_cast<int>(i)).value_or(StackRef{expand(w, "layer"), zero});
    const Axis layers{"layer", ref.stack.shape()[0].size}, k{"k", e * m == 0 ? 0 : w.shape().elements() / (e * m)};
    out.stacks.push_back(reshape(ref.stack, Shape{layers, {"e", e}, {"m", m}, k}));
    out.layer = ref.index;
  }
  return out;
}

struct KernelCall {
  Value rows;   // [r k]
  Value which;  // [r]
  Matrices weights;
  bool transposed = false;
  WeightPart part;
};

Value call(const KernelCall& k, const TensorType& result) {
  auto number = [](int64_t n) { return fmt::format("{} : i64", n); };
  const bool int8 = k.weights.stacks.size() > 1;
  CustomCall call{.target = std::string(int8 ? abi::kGemvInt8 : abi::kGemv)};
  call.config = {{std::string(abi::kTransposed), number(k.transposed ? 1 : 0)},
                 {std::string(abi::kFirst), number(k.part.first)},
                 {std::string(abi::kCount), number(k.part.count)}};
  const int64_t r = k.rows.size("r");
  call.results = {{result.dtype, Shape{{"r", r}, {"n", r == 0 ? 0 : result.shape.elements() / r}}}};
  std::vector<Value> operands{k.rows};
  operands.insert(operands.end(), k.weights.stacks.begin(), k.weights.stacks.end());
  operands.insert(operands.end(), {k.which, k.weights.layer});
  return reshape(custom_call(k.rows.graph(), call, operands)[0], result.shape);
}

// Whether there is a kernel for rows (operand 0) and weight, which is operand `weight` and perhaps the next one.
bool has_kernel(const LoweringContext& c, size_t weight, std::string& reason) {
  if (c.operands().size() > weight + 1) return takes_kernel(c, abi::kGemvInt8, 1, reason);
  return takes_kernel(c.target(), abi::kGemv, {c.operands()[0], c.operands()[weight]}, 2, reason);
}

std::vector<Value> kernel(LoweringContext& c, std::string& reason) {
  if (!has_kernel(c, 1, reason)) return {};
  const Layout layout(c.node().attr<FusedAttrs>());
  Value x = c.operands()[0];
  const Shape& w = c.operands()[1].shape();
  const Roles axes(layout, x.shape(), w);
  Axes order = axes.batch;
  order.insert(order.end(), axes.others.begin(), axes.others.end());
  const Axis rows{"r", elements_of(order)}, e{"e", elements_of(axes.batch)};
  order.insert(order.end(), axes.summed.begin(), axes.summed.end());
  KernelCall k{.transposed = layout.transposed, .part = layout.part};
  k.rows = reshape(transpose(x, names_of(order)), Shape{rows, {"k", elements_of(axes.summed)}});
  const Shape by_matrix{e, {"o", e.size == 0 ? 0 : rows.size / e.size}};
  k.which = reshape(broadcast(iota(c.graph(), DType::kS32, Shape{e}, "e"), by_matrix), Shape{rows});
  // The rows of a part are those of the axis that it cuts: behind it come whole axes that are kept or summed with it.
  const int64_t last = layout.transposed ? layout.batch + layout.summed : layout.summed_from(w.rank());
  const int64_t inner = elements_of(axes_between(w, layout.batch + 1, last));
  k.part = {layout.part.first * inner, layout.part.count * inner};
  k.weights = matrices(c, 1, e.size, elements_of(axes_between(w, layout.batch, last)));
  return {call(k, c.node().results[0])};
}

double flops(const Node& node, const Target&) {
  const Layout layout(node.attr<FusedAttrs>());
  const Roles axes(layout, node.operands[0].shape(), node.operands[1].shape());
  return 2.0 * static_cast<double>(axes.result().elements()) * static_cast<double>(elements_of(axes.summed));
}

const FusedOp kGemv{.name = "gemv",
                    .infer = infer,
                    .reference = reference,
                    .vjp = nullptr,
                    .forms = {.cpu = kernel, .gpu = plain_ops, .tpu = plain_ops},
                    .flops = flops};

// ---- indexed_gemv: operands x, which, weight ----

std::vector<TensorType> infer_indexed(const InferContext& c) {
  const Shape &x = c.type(0).shape, &which = c.type(1).shape, &w = c.type(2).shape;
  if (w.rank() != 3 || x.rank() < 1 || x[x.rank() - 1] != w[2]) {
    c.fail("indexed_gemv takes rows [.. k] and matrices [e n k]");
  }
  Axes axes = axes_between(x, 0, x.rank() - 1);
  if (which != Shape(axes) || c.type(1).dtype != DType::kS32) c.fail("each row names its matrix by an s32");
  axes.push_back(w[1]);
  return {{c.type(0).dtype, Shape(axes)}};
}

// Rows sorted by matrix, and their results back in order.
std::vector<Value> reference_indexed(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  const Shape &w = in[2].shape(), &which = in[1].shape();
  const Axis rows{"m", which.elements()};
  Value names = reshape(in[1], Shape{rows}), order = argsort(names, "m");
  Value sorted = gather(reshape(in[0], Shape{rows, w[2]}), rename(order, "m", "slot"), "m");  // [slot k]
  Value sizes = reduce_sum(one_hot(names, w[0], DType::kS32), "m");
  Value y = grouped_matmul(rename(sorted, "slot", "m"), weight(in, 2, in[0].dtype()), sizes);  // [m n]
  Value back = gather(y, rename(argsort(order, "m"), "m", "slot"), "m");
  std::vector<Axis> axes = which.axes();
  axes.push_back(w[1]);
  return {reshape(back, Shape(axes))};
}

std::vector<Value> kernel_indexed(LoweringContext& c, std::string& reason) {
  if (!has_kernel(c, 2, reason)) return {};
  const std::vector<Value>& in = c.operands();
  const Shape& w = in[2].shape();
  const Axis rows{"r", in[1].shape().elements()};
  return {call({.rows = reshape(in[0], Shape{rows, {"k", w[2].size}}),
                .which = reshape(in[1], Shape{rows}),
                .weights = matrices(c, 2, w[0].size, w[1].size),
                .part = {0, w[1].size}},
               c.node().results[0])};
}

double flops_indexed(const Node& node, const Target&) {
  const Shape& w = node.operands[2].shape();
  return 2.0 * static_cast<double>(node.operands[1].shape().elements()) * static_cast<double>(w[1].size * w[2].size);
}

const FusedOp kIndexed{.name = "indexed_gemv",
                       .infer = infer_indexed,
                       .reference = reference_indexed,
                       .vjp = nullptr,
                       .forms = {.cpu = kernel_indexed, .gpu = plain_ops, .tpu = plain_ops},
                       .flops = flops_indexed};

}  // namespace

bool takes_gemv(Value x, Value w, std::string_view axes) {
  if (x.graph().partition != nullptr) return false;
  std::optional<Layout> layout = layout_of(x.shape(), w.shape(), axes);
  const int64_t most = quantized_weight(w) ? kFewRowsOfInt8 : kFewRows;
  return layout && elements_of(Roles(*layout, x.shape(), w.shape()).others) <= most;
}

Value gemv(Value x, Value w, std::string_view axes, std::optional<WeightPart> part, std::optional<DType> out,
           Where where) {
  std::optional<Layout> layout = layout_of(x.shape(), w.shape(), axes);
  if (!layout) {
    graph_error(Op::kFused, std::vector<Value>{x, w}, "gemv takes a weight that is a stack of matrices", where);
  }
  if (part) layout->part = *part;
  layout->out = out.value_or(x.dtype());
  std::vector<Value> operands = operands_of(w);
  operands.insert(operands.begin(), x);
  return fused(x.graph(), kGemv, std::move(operands), {.ints = layout->ints()}, where)[0];
}

Value indexed_gemv(Value x, Value w, Value which, Where where) {
  std::vector<Value> operands = operands_of(w);
  operands.insert(operands.begin(), {x, which});
  return fused(x.graph(), kIndexed, std::move(operands), {}, where)[0];
}

}  // namespace fathom
