// Constants, iota, and the operands that stand for numbers.
#include <cmath>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

// Whether the number can stand in the type; floats take any.
bool fits(double value, DType dtype) {
  if (is_float(dtype)) return true;
  if (value != std::trunc(value)) return false;  // NaN lands here too
  if (dtype == DType::kBool) return value == 0 || value == 1;
  bool is_unsigned = dtype == DType::kU8 || dtype == DType::kU16 || dtype == DType::kU32 || dtype == DType::kU64;
  int bits = static_cast<int>(8 * byte_size(dtype));
  double low = is_unsigned ? 0 : -std::ldexp(1.0, bits - 1);
  double above = std::ldexp(1.0, is_unsigned ? bits : bits - 1);
  return value >= low && value < above;
}

}  // namespace

Operand::Operand(Value v, Where w) : value(v), where(w) {
  if (!v) {
    throw GraphError(
        fmt::format("an operand is null (a gradient that does not exist?); at {}:{}", w.file_name(), w.line()));
  }
}

Value constant(Graph& g, double value, TensorType type, Where w) {
  return g.make(Op::kConstant, {}, ConstantAttrs{value, std::move(type)}, w).result();
}

Types infer_constant(const InferContext& c) {
  const ConstantAttrs& a = c.attr<ConstantAttrs>();
  if (!fits(a.value, a.type.dtype)) c.fail(fmt::format("{} is not a value of type {}", a.value, name(a.type.dtype)));
  return {a.type};
}

Value zeros_like(Value x, Where w) {
  require_values(Op::kConstant, std::span(&x, 1), w);
  return constant(x.graph(), 0, x.type(), w);
}

Value ones_like(Value x, Where w) {
  require_values(Op::kConstant, std::span(&x, 1), w);
  return constant(x.graph(), 1, x.type(), w);
}

Value empty(Graph& g, TensorType type, Where w) {
  return g.make(Op::kEmpty, {}, TypeAttrs{std::move(type)}, w).result();
}

Types infer_empty(const InferContext& c) { return {c.attr<TypeAttrs>().type}; }

Value iota(Graph& g, DType dtype, Shape shape, std::string_view axis, Where w) {
  int i = shape.find(axis);
  if (i < 0) graph_error(Op::kIota, {}, fmt::format("no axis '{}' in {}", axis, shape.to_string()), w);
  return g.make(Op::kIota, {}, IotaAttrs{i, {dtype, std::move(shape)}}, w).result();
}

Types infer_iota(const InferContext& c) {
  const IotaAttrs& a = c.attr<IotaAttrs>();
  if (a.type.dtype == DType::kBool) c.fail("iota counts: bool is no type for it");
  if (a.axis < 0 || a.axis >= a.type.shape.rank()) {
    c.fail(fmt::format("axis {} of {}", a.axis, a.type.to_string()));
  }
  return {a.type};
}

}  // namespace fathom
