#include "fused/gated_silu.h"

#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands: gate, up. FusedAttrs::ints: {in_float32}.

std::vector<TensorType> infer(const InferContext& c) {
  if (!is_float(c.type(0).dtype) || c.type(0) != c.type(1)) c.fail("gated_silu takes floats of one type and shape");
  return {c.type(0)};
}

// A value in the type of the arithmetic.
Value widened(Value x, const FusedAttrs& attrs) { return attrs.ints.at(0) != 0 ? convert(x, DType::kF32) : x; }

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  Value gate = widened(in[0], attrs), up = widened(in[1], attrs);
  return {convert(gate * logistic(gate) * up, in[0].dtype())};
}

// XLA fuses the plain ops on every platform.
std::vector<Value> lower(LoweringContext& c, std::string&) {
  return reference(c.operands(), c.node().attr<FusedAttrs>(), c.graph());
}

// With s = logistic(gate):  dup = dy gate s,  dgate = dy up s (1 + gate (1 - s)).
void vjp(VjpContext& c) {
  if (!c.cotangent()) return;
  const FusedAttrs& attrs = c.node().attr<FusedAttrs>();
  const DType dtype = c.type(0).dtype;
  Value dy = widened(c.cotangent(), attrs), gate = widened(c.operand(0), attrs);
  Value s = logistic(gate);
  if (c.wants(0)) {
    Value slope = s * (gate * (1.0 - s) + 1.0);
    c.add(0, convert(dy * widened(c.operand(1), attrs) * slope, dtype));
  }
  if (c.wants(1)) c.add(1, convert(dy * (gate * s), dtype));
}

const FusedOp kGatedSilu{.name = "gated_silu", .infer = infer, .reference = reference, .vjp = vjp, .lower = lower};

}  // namespace

Value gated_silu(Value gate, Value up, bool in_float32, Where where) {
  return fused(gate.graph(), kGatedSilu, {gate, up}, {.ints = {in_float32 ? 1 : 0}}, where)[0];
}

}  // namespace fathom
