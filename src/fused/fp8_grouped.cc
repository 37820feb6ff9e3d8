#include "fused/fp8_grouped.h"

#include "fused/fp8.h"
#include "fused/grouped_matmul.h"
#include "fused/row_tiles.h"
#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands: x, w, group_sizes as of grouped_matmul. FusedAttrs::ints: {transposed}.
bool transposed(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

std::vector<TensorType> infer(const InferContext& c) {
  Graph g;
  Value x = g.arg("x", c.type(0)), w = g.arg("w", c.type(1)), sizes = g.arg("group_sizes", c.type(2));
  return {grouped_matmul(x, w, sizes, {.transposed = transposed(c.attr<FusedAttrs>())}).type()};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const Shape &x = in[0].shape(), &w = in[1].shape();
  return {grouped_matmul(fp8_rounded(in[0], {x[1].name}), fp8_rounded(in[1], {w[1].name, w[2].name}), in[2],
                         {.transposed = transposed(attrs)})};
}

// y = x W^T: dx = dy W, dW = dy^T x. Transposed, y = x W: dx = dy W^T, dW = x^T dy.
void vjp(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy) return;
  const bool t = transposed(c.node().attr<FusedAttrs>());
  const Value x = c.operand(0), w = c.operand(1), sizes = c.operand(2);
  if (c.wants(0)) c.add(0, fp8_grouped_matmul(dy, w, sizes, !t));
  if (c.wants(1)) c.add(1, t ? fp8_grouped_outer(x, dy, sizes) : fp8_grouped_outer(dy, x, sizes));
}

const FusedOp kMatmul{
    .name = "fp8_grouped_matmul", .infer = infer, .reference = reference, .vjp = vjp, .forms = kPlainOpsEverywhere};

}  // namespace

Value fp8_grouped_matmul(Value x, Value w, Value group_sizes, bool transposed, Where where) {
  return fused(x.graph(), kMatmul, {x, w, group_sizes}, {.ints = {transposed ? 1 : 0}}, where)[0];
}

// Rows are moved apart so that each group begins with a block; a block's places behind its group's last row are zeros,
// which change neither its scale nor the sums.
Value fp8_grouped_outer(Value a, Value b, Value group_sizes) {
  const Axis& rows = a.shape()[0];
  const RowTiles tiles(rows, group_sizes, kFp8Block);
  auto rounded = [&](Value x) {
    return merge_axes(fp8_rounded(tiles.cut_with_zeros(x), {"place"}), "tile place", rows.name);
  };
  return grouped_outer(rounded(a), rounded(b), tiles.places());
}

Value ExpertProducts::matmul(Value x, Value w, Value group_sizes, bool transposed, Where where) const {
  if (fp8) return fp8_grouped_matmul(x, w, group_sizes, transposed, where);
  return grouped_matmul(x, w, group_sizes, {.transposed = transposed}, where);
}

Value ExpertProducts::outer(Value a, Value b, Value group_sizes) const {
  return fp8 ? fp8_grouped_outer(a, b, group_sizes) : grouped_outer(a, b, group_sizes);
}

}  // namespace fathom
