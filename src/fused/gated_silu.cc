#include "fused/gated_silu.h"

#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands: gate, up. FusedAttrs::ints: {in_float32}.

std::vector<TensorType> infer(const InferContext& c) {
  if (!is_float(c.type(0).dtype) || c.type(0) != c.type(1)) c.fail("gated_silu takes floats of one type and shape");
  return {c.type(0)};
}

bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const DType inner = in_float32(attrs) ? DType::kF32 : in[0].dtype();
  Value gate = convert(in[0], inner), up = convert(in[1], inner);
  return {convert(gate * logistic(gate) * up, in[0].dtype())};
}

void vjp(VjpContext& c) {
  if (!c.cotangent()) return;
  GatedSiluGrad d = gated_silu_grad(c.operand(0), c.operand(1), c.cotangent(), in_float32(c.node().attr<FusedAttrs>()));
  if (c.wants(0)) c.add(0, d.gate);
  if (c.wants(1)) c.add(1, d.up);
}

const FusedOp kGatedSilu{.name = "gated_silu",
                         .infer = infer,
                         .reference = reference,
                         .vjp = vjp,
                         .forms = kPlainOpsEverywhere,
                         .light = true};

}  // namespace

Value gated_silu(Value gate, Value up, bool in_float32, Where where) {
  return fused(gate.graph(), kGatedSilu, {gate, up}, {.ints = {in_float32 ? 1 : 0}}, where)[0];
}

// With s = logistic(gate):  dup = d gate s,  dgate = d up s (1 + gate (1 - s)).
GatedSiluGrad gated_silu_grad(Value gate, Value up, Value d_result, bool in_float32) {
  const DType dtype = gate.dtype(), inner = in_float32 ? DType::kF32 : dtype;
  Value d = convert(d_result, inner), g = convert(gate, inner);
  Value s = logistic(g);
  return {.gate = convert(d * convert(up, inner) * s * (g * (1.0 - s) + 1.0), dtype),
          .up = convert(d * (g * s), dtype)};
}

}  // namespace fathom
