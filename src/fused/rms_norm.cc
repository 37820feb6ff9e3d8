#include "fused/rms_norm.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands: x, scale (x's normalised axis alone). Results: y, in x's type and shape; r = 1 / sqrt(mean(x^2) + eps) f32,
// without the axis. FusedAttrs::reals: {eps}.

std::vector<TensorType> infer(const InferContext& c) {
  const TensorType &x = c.type(0), &scale = c.type(1);
  if (!is_float(x.dtype) || !is_float(scale.dtype)) c.fail("rms_norm takes floats");
  if (scale.shape.rank() != 1 || x.shape.find(scale.shape[0].name) < 0)
    c.fail("the scale has one axis, which x has too");
  const Axis& axis = scale.shape[0];
  std::vector<Axis> rows;
  for (const Axis& a : x.shape) {
    if (a.name != axis.name) rows.push_back(a);
  }
  if (x.shape[x.shape.find(axis.name)] != axis) c.fail("x and scale have different sizes along the axis");
  return {x, {DType::kF32, Shape(rows)}};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const Value &x = in[0], &scale = in[1];
  Value wide = convert(x, DType::kF32);
  Value r = rsqrt(reduce_mean(wide * wide, scale.shape()[0].name) + attrs.reals.at(0));
  return {convert(wide * r, x.dtype()) * convert(scale, x.dtype()), r};
}

// With u = x r and du = dy scale:  dscale = sum over rows of dy u,  dx = r (du - u mean(du u)).
void vjp(VjpContext& c) {
  Value dy = c.cotangent(0);
  if (!dy) return;
  Value x = c.operand(0), scale = c.operand(1), r = c.result(1);
  const std::string axis = scale.shape()[0].name;
  Value unit = convert(x, DType::kF32) * r;
  if (c.wants(1)) {
    Value rounded = convert(convert(unit, x.dtype()), DType::kF32);
    Value products = convert(dy, DType::kF32) * rounded;
    c.add(1, convert(reduce_sum(products, fmt::format("{}", fmt::join(r.shape().names(), " "))), scale.dtype()));
  }
  if (c.wants(0)) {
    Value d_unit = convert(dy * convert(scale, dy.dtype()), DType::kF32);
    c.add(0, convert((d_unit - unit * reduce_mean(d_unit * unit, axis)) * r, x.dtype()));
  }
}

const FusedOp kRmsNorm{.name = "rms_norm",
                       .infer = infer,
                       .reference = reference,
                       .vjp = vjp,
                       .forms = kPlainOpsEverywhere,
                       .light = true};

}  // namespace

Value rms_norm(Value x, Value scale, std::string_view axis, double eps, Where where) {
  if (scale.rank() != 1 || !scale.has(axis)) {
    throw GraphError(fmt::format("rms_norm over '{}' needs a scale with that axis alone", axis));
  }
  return fused(x.graph(), kRmsNorm, {x, scale}, {.reals = {eps}}, where)[0];
}

}  // namespace fathom
