// Elementwise operations. Nodes have operands of one shape: the builders align axes by name and spell out broadcasts
// and transposes as nodes of their own, so that the VJPs here need not undo them.
#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

bool is_signed(DType t) {
  return is_float(t) || t == DType::kS8 || t == DType::kS16 || t == DType::kS32 || t == DType::kS64;
}

void require_same_types(const InferContext& c, size_t from = 0) {
  const TensorType& first = c.operands[from].type();
  for (const Value& v : c.operands.subspan(from)) {
    if (v.dtype() != first.dtype) {
      c.fail(fmt::format("element types {} and {} differ: convert one of them", name(first.dtype), name(v.dtype())));
    }
    if (v.shape() != first.shape) c.fail("the shapes differ");
  }
}

void require_float(const InferContext& c) {
  if (!is_float(c.type().dtype)) c.fail("takes floats");
}

// The shape of the first operand of the highest rank, which must have every axis of the others.
const Shape& widest(Op op, const std::vector<Value>& values, Where w) {
  const Shape* out = nullptr;
  for (const Value& v : values) {
    if (out == nullptr || v.rank() > out->rank()) out = &v.shape();
  }
  for (const Value& v : values) {
    for (const Axis& a : v.shape()) {
      int i = out->find(a.name);
      if (i < 0) {
        graph_error(op, values,
                    fmt::format("axis '{}' is not in {}: no operand has all axes", a.name, out->to_string()), w);
      }
      int64_t size = (*out)[i].size;
      if (size != a.size) {
        graph_error(op, values, fmt::format("axis '{}' is {} in one operand and {} in another", a.name, size, a.size),
                    w);
      }
    }
  }
  return *out;
}

// The operands under one shape. Numbers take the element type of the first value among operands[typed...].
std::vector<Value> align(Op op, std::span<const Operand> operands, Where w, size_t typed = 0) {
  std::vector<Value> values;
  for (const Operand& o : operands) {
    if (o.value) values.push_back(o.value);
  }
  Value dtype_from;
  for (const Operand& o : operands.subspan(typed)) {
    if (o.value && !dtype_from) dtype_from = o.value;
  }
  if (!dtype_from) graph_error(op, values, "numbers only: nothing gives them a type", w);
  const TensorType type{dtype_from.dtype(), widest(op, values, w)};
  std::vector<Value> out;
  for (const Operand& o : operands) {
    out.push_back(o.value ? broadcast(o.value, type.shape, w) : constant(values[0].graph(), o.number, type, w));
  }
  return out;
}

Value unary(Op op, const Operand& x) {
  if (!x.value) graph_error(op, {}, "a number only: nothing gives it a type", x.where);
  return x.value.graph().make(op, {x.value}, {}, x.where).result();
}

Value binary(Op op, const Operand& a, const Operand& b, Attrs attrs = {}) {
  std::vector<Value> values = align(op, std::vector<Operand>{a, b}, a.where);
  Graph& g = values[0].graph();
  return g.make(op, std::move(values), std::move(attrs), a.where).result();
}

Value compare(CompareAttrs::Direction direction, const Operand& a, const Operand& b) {
  return binary(Op::kCompare, a, b, CompareAttrs{direction});
}

}  // namespace

// ---- shape rules ----

Types infer_float(const InferContext& c) {
  require_float(c);
  return {c.type()};
}

Types infer_signed(const InferContext& c) {
  if (!is_signed(c.type().dtype)) c.fail("takes floats or signed integers");
  return {c.type()};
}

Types infer_not(const InferContext& c) {
  if (is_float(c.type().dtype)) c.fail("takes bools or integers");
  return {c.type()};
}

Types infer_is_finite(const InferContext& c) {
  require_float(c);
  return {{DType::kBool, c.type().shape}};
}

Types infer_arithmetic(const InferContext& c) {
  require_same_types(c);
  if (c.type().dtype == DType::kBool) c.fail("takes numbers, not bools");
  return {c.type()};
}

Types infer_bits(const InferContext& c) {
  require_same_types(c);
  if (is_float(c.type().dtype)) c.fail("takes bools or integers");
  return {c.type()};
}

Types infer_integers(const InferContext& c) {
  require_same_types(c);
  if (!is_integer(c.type().dtype)) c.fail("takes integers");
  return {c.type()};
}

Types infer_compare(const InferContext& c) {
  require_same_types(c);
  return {{DType::kBool, c.type().shape}};
}

// ---- one operand ----

Value operator-(Operand a) { return unary(Op::kNeg, a); }
// d(-x) = -dx
void vjp_neg(VjpContext& c) { c.add(0, -c.cotangent()); }

Value exp(Operand x) { return unary(Op::kExp, x); }
// y = e^x: dy/dx = y
void vjp_exp(VjpContext& c) { c.add(0, c.cotangent() * c.result()); }

Value log(Operand x) { return unary(Op::kLog, x); }
// dy/dx = 1 / x
void vjp_log(VjpContext& c) { c.add(0, c.cotangent() / c.operand()); }

Value tanh(Operand x) { return unary(Op::kTanh, x); }
// dy/dx = 1 - y^2
void vjp_tanh(VjpContext& c) {
  Value y = c.result();
  c.add(0, c.cotangent() * (1 - y * y));
}

Value logistic(Operand x) { return unary(Op::kLogistic, x); }
// y = 1 / (1 + e^-x): dy/dx = y (1 - y)
void vjp_logistic(VjpContext& c) {
  Value y = c.result();
  c.add(0, c.cotangent() * (y * (1 - y)));
}

Value sqrt(Operand x) { return unary(Op::kSqrt, x); }
// dy/dx = 1 / (2 y); infinite at 0
void vjp_sqrt(VjpContext& c) { c.add(0, c.cotangent() * 0.5 / c.result()); }

Value rsqrt(Operand x) { return unary(Op::kRsqrt, x); }
// y = x^(-1/2): dy/dx = -y^3 / 2
void vjp_rsqrt(VjpContext& c) {
  Value y = c.result();
  c.add(0, c.cotangent() * (y * y * y * -0.5));
}

Value sin(Operand x) { return unary(Op::kSin, x); }
// dy/dx = cos(x)
void vjp_sin(VjpContext& c) { c.add(0, c.cotangent() * cos(c.operand())); }

Value cos(Operand x) { return unary(Op::kCos, x); }
// dy/dx = -sin(x)
void vjp_cos(VjpContext& c) { c.add(0, -(c.cotangent() * sin(c.operand()))); }

Value logical_not(Operand x) { return unary(Op::kNot, x); }
Value is_finite(Operand x) { return unary(Op::kIsFinite, x); }

Value convert(Value x, DType dtype, Where w) {
  require_values(Op::kConvert, std::span(&x, 1), w);
  if (x.dtype() == dtype) return x;
  return x.graph().make(Op::kConvert, {x}, TypeAttrs{{dtype, x.shape()}}, w).result();
}

Types infer_convert(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  if (to.shape != c.type().shape) c.fail("a conversion keeps the shape; asked for " + to.to_string());
  return {to};
}

// dx = dy in x's type
void vjp_convert(VjpContext& c) { c.add(0, convert(c.cotangent(), c.type().dtype)); }

Value bitcast(Value x, DType dtype, Where w) {
  require_values(Op::kBitcast, std::span(&x, 1), w);
  if (x.dtype() == dtype) return x;
  return x.graph().make(Op::kBitcast, {x}, TypeAttrs{{dtype, x.shape()}}, w).result();
}

Types infer_bitcast(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  bool flag = to.dtype == DType::kBool || c.type().dtype == DType::kBool;
  if (flag || byte_size(to.dtype) != byte_size(c.type().dtype) || to.shape != c.type().shape) {
    c.fail(fmt::format("the bits of {} are not those of {}", name(c.type().dtype), to.to_string()));
  }
  return {to};
}

// ---- two operands ----

Value operator+(Operand a, Operand b) { return binary(Op::kAdd, a, b); }
// da = dy, db = dy
void vjp_add(VjpContext& c) {
  c.add(0, c.cotangent());
  c.add(1, c.cotangent());
}

Value operator-(Operand a, Operand b) { return binary(Op::kSub, a, b); }
// da = dy, db = -dy
void vjp_sub(VjpContext& c) {
  c.add(0, c.cotangent());
  if (c.wants(1)) c.add(1, -c.cotangent());
}

Value operator*(Operand a, Operand b) { return binary(Op::kMul, a, b); }
// da = dy b, db = dy a
void vjp_mul(VjpContext& c) {
  if (c.wants(0)) c.add(0, c.cotangent() * c.operand(1));
  if (c.wants(1)) c.add(1, c.cotangent() * c.operand(0));
}

Value operator/(Operand a, Operand b) { return binary(Op::kDiv, a, b); }
// y = a / b: da = dy / b, db = -(dy / b) y
void vjp_div(VjpContext& c) {
  Value da = c.cotangent() / c.operand(1);
  c.add(0, da);
  if (c.wants(1)) c.add(1, -(da * c.result()));
}

namespace {

Value is_nan(Value x) { return not_equal(x, x); }

// The cotangent to the operand that wins, half of it to each at a tie. A NaN is what the result is then, so it wins.
void vjp_winner(VjpContext& c, Value a_wins, Value b_wins, Value tie) {
  Value dy = c.cotangent();
  Value shared = select(tie, dy * 0.5, 0);
  if (c.wants(0)) c.add(0, select(logical_or(a_wins, is_nan(c.operand(0))), dy, shared));
  if (c.wants(1)) c.add(1, select(logical_or(b_wins, is_nan(c.operand(1))), dy, shared));
}

}  // namespace

Value maximum(Operand a, Operand b) { return binary(Op::kMax, a, b); }
// da = dy where a > b; a tie gives half to each
void vjp_max(VjpContext& c) {
  Value a = c.operand(0);
  Value b = c.operand(1);
  vjp_winner(c, greater(a, b), greater(b, a), equal(a, b));
}

Value minimum(Operand a, Operand b) { return binary(Op::kMin, a, b); }
// da = dy where a < b; a tie gives half to each
void vjp_min(VjpContext& c) {
  Value a = c.operand(0);
  Value b = c.operand(1);
  vjp_winner(c, less(a, b), less(b, a), equal(a, b));
}

Value pow(Operand a, Operand b) { return binary(Op::kPow, a, b); }
// y = a^b: da = dy b a^(b-1), and 0 where b = 0; db = dy y log(a), and 0 where a = 0
void vjp_pow(VjpContext& c) {
  Value dy = c.cotangent();
  const Node& exponent = c.node().operands[1].node();
  if (c.wants(0) && exponent.op == Op::kConstant) {
    double k = exponent.attr<ConstantAttrs>().value;
    if (k == 2) {
      c.add(0, dy * (c.operand(0) * 2));
    } else if (k != 0) {
      c.add(0, dy * (pow(c.operand(0), k - 1) * k));
    }
  } else if (c.wants(0)) {
    Value b = c.operand(1);
    c.add(0, dy * select(equal(b, 0), 0, b * pow(c.operand(0), b - 1)));
  }
  if (c.wants(1)) {
    Value a = c.operand(0);
    c.add(1, dy * select(equal(a, 0), 0, c.result() * log(a)));
  }
}

Value remainder(Operand a, Operand b) { return binary(Op::kRem, a, b); }

Value logical_and(Operand a, Operand b) { return binary(Op::kAnd, a, b); }
Value logical_or(Operand a, Operand b) { return binary(Op::kOr, a, b); }
Value logical_xor(Operand a, Operand b) { return binary(Op::kXor, a, b); }
Value shift_left(Operand a, Operand b) { return binary(Op::kShiftLeft, a, b); }
Value shift_right(Operand a, Operand b) { return binary(Op::kShiftRight, a, b); }
Value equal(Operand a, Operand b) { return compare(CompareAttrs::kEq, a, b); }
Value not_equal(Operand a, Operand b) { return compare(CompareAttrs::kNe, a, b); }
Value less(Operand a, Operand b) { return compare(CompareAttrs::kLt, a, b); }
Value less_equal(Operand a, Operand b) { return compare(CompareAttrs::kLe, a, b); }
Value greater(Operand a, Operand b) { return compare(CompareAttrs::kGt, a, b); }
Value greater_equal(Operand a, Operand b) { return compare(CompareAttrs::kGe, a, b); }

// ---- three operands ----

Value select(Value condition, Operand a, Operand b, Where w) {
  std::vector<Value> values = align(Op::kSelect, std::vector<Operand>{{condition, w}, a, b}, w, 1);
  Graph& g = values[0].graph();
  return g.make(Op::kSelect, std::move(values), {}, w).result();
}

Types infer_select(const InferContext& c) {
  if (c.type().dtype != DType::kBool) c.fail("the condition must be bool");
  require_same_types(c, 1);
  if (c.type(0).shape != c.type(1).shape) c.fail("the shapes differ");
  return {c.type(1)};
}

// da = dy where the condition holds, db = dy elsewhere
void vjp_select(VjpContext& c) {
  Value dy = c.cotangent();
  if (c.wants(1)) c.add(1, select(c.operand(0), dy, 0));
  if (c.wants(2)) c.add(2, select(c.operand(0), 0, dy));
}

Value clamp(Operand low, Value x, Operand high) {
  Where w = low.where;
  std::vector<Value> values = align(Op::kClamp, std::vector<Operand>{low, {x, w}, high}, w);
  Graph& g = values[0].graph();
  return g.make(Op::kClamp, std::move(values), {}, w).result();
}

// For low <= high: dx = dy where low <= x <= high, the bounds included, and where x is NaN; dlow = dy where x < low,
// dhigh = dy where x > high
void vjp_clamp(VjpContext& c) {
  Value dy = c.cotangent();
  Value low = c.operand(0);
  Value x = c.operand(1);
  Value high = c.operand(2);
  if (c.wants(0)) c.add(0, select(less(x, low), dy, 0));
  if (c.wants(1)) c.add(1, select(logical_or(less(x, low), greater(x, high)), 0, dy));
  if (c.wants(2)) c.add(2, select(greater(x, high), dy, 0));
}

}  // namespace fathom
