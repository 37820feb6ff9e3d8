// Sorting, and the largest few.
#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {

std::vector<Value> sort(std::vector<Value> xs, std::string_view axis, bool descending, Where w) {
  if (xs.empty()) graph_error(Op::kSort, {}, "nothing to sort", w);
  require_values(Op::kSort, xs, w);
  int at = axis_of(Op::kSort, xs[0], axis, w);
  Graph& g = xs[0].graph();
  return results_of(g.make(Op::kSort, std::move(xs), SortAttrs{at, descending}, w));
}

Types infer_sort(const InferContext& c) {
  Types out;
  for (const Value& x : c.operands) {
    if (x.shape() != c.type().shape) c.fail("the shapes differ");
    out.push_back(x.type());
  }
  return out;
}

Value argsort(Value x, std::string_view axis, bool descending, Where w) {
  int at = axis_of(Op::kSort, x, axis, w);
  Value position = iota(x.graph(), DType::kS32, x.shape(), axis, w);
  Graph& g = x.graph();
  return g.make(Op::kSort, {stop_gradient(x, w), position}, SortAttrs{at, descending}, w).result(1);
}

// y_i = x_i in the order p of x_0, found again as argsort(x_0). Sorting by p puts the dy_i back: the order is constant
// between ties, at which it is that of the stable sort.
void vjp_sort(VjpContext& c) {
  const SortAttrs& a = c.node().attr<SortAttrs>();
  Where w = c.node().where;
  const std::string& axis = c.type().shape[a.axis].name;
  std::vector<Value> back{argsort(c.operand(0), axis, a.descending, w)};
  std::vector<int> operands;
  for (int i = 0; i < static_cast<int>(c.node().operands.size()); ++i) {
    if (!c.wants(i) || !c.cotangent(i)) continue;
    operands.push_back(i);
    back.push_back(c.cotangent(i));
  }
  if (operands.empty()) return;
  back = sort(std::move(back), axis, false, w);
  for (size_t k = 0; k < operands.size(); ++k) c.add(operands[k], back[k + 1]);
}

TopK top_k(Value x, std::string_view axis, int64_t k, std::string_view into, Where w) {
  int at = axis_of(Op::kTopK, x, axis, w);
  // The op searches the last axis.
  std::string rest = join_names(without(x.shape(), at));
  Value last = transpose(x, rest + " " + std::string(axis), w);
  std::vector<Value> found = results_of(x.graph().make(Op::kTopK, {last}, AxisAttrs{x.rank() - 1, k}, w));
  for (Value& v : found) v = rename(transpose(v, join_names(x.shape()), w), axis, into, w);
  return {found[0], found[1]};
}

Types infer_top_k(const InferContext& c) {
  const AxisAttrs& a = c.attr<AxisAttrs>();
  const Shape& x = c.type().shape;
  if (a.axis != x.rank() - 1) c.fail("searches the last axis only");
  if (c.type().dtype == DType::kBool) c.fail("takes numbers, not bools");
  if (a.count < 0 || a.count > x[a.axis].size) {
    c.fail(fmt::format("the {} largest of axis '{}' of size {}", a.count, x[a.axis].name, x[a.axis].size));
  }
  Shape shape = with_size(x, a.axis, a.count);
  return {{c.type().dtype, shape}, {DType::kS32, shape}};
}

// dx = dvalues at the found indices; of ties, those that were found
void vjp_top_k(VjpContext& c) {
  Value dy = c.cotangent(0);
  if (!dy) return;
  const std::string& axis = c.type().shape[c.node().attr<AxisAttrs>().axis].name;
  Value none = zeros(dy.graph(), c.type(), c.node().where);
  c.add(0, scatter_add(none, c.result(1), dy, axis, c.node().where));
}

}  // namespace fathom
