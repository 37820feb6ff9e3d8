// Arithmetic, comparison, calls.
#include <fmt/format.h>

#include <cmath>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace fathom::jinja {
namespace {

[[noreturn]] void fail_operands(Runtime& runtime, std::string_view op, const Value& a, const Value& b) {
  if (is_undefined(a)) runtime.fail_undefined(a);
  if (is_undefined(b)) runtime.fail_undefined(b);
  runtime.fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a), type_name(b)));
}

// By reference: the operation that fills `value` is an argument beside it.
Integer checked(Runtime& runtime, bool overflow, const Integer& value) {
  if (overflow) runtime.fail("an integer of more than 127 bits");
  return value;
}

Integer floor_divide(Integer a, Integer b) {
  const Integer quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value integer_power(Runtime& runtime, Integer base, Integer exponent) {
  if (exponent < 0) {
    if (base == 0) runtime.fail("0 cannot be raised to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  Integer out = 1;
  // Bases of more than one digit overflow within 127 steps.
  if (base == 1 || base == 0 || base == -1) return exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
  for (Integer i = 0; i < exponent; ++i) {
    const bool overflow = __builtin_mul_overflow(out, base, &out);
    checked(runtime, overflow, out);
  }
  return out;
}

Value integer_arithmetic(Runtime& runtime, std::string_view op, Integer a, Integer b) {
  Integer out = 0;
  if (op == "+") return checked(runtime, __builtin_add_overflow(a, b, &out), out);
  if (op == "-") return checked(runtime, __builtin_sub_overflow(a, b, &out), out);
  if (op == "*") return checked(runtime, __builtin_mul_overflow(a, b, &out), out);
  if (op == "**") return integer_power(runtime, a, b);
  if (b == 0) runtime.fail("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  // The one quotient that has no place.
  if (b == -1) return op == "//" ? integer_arithmetic(runtime, "-", 0, a) : Value(Integer{0});
  const Integer quotient = floor_divide(a, b);
  return op == "//" ? quotient : a - quotient * b;
}

Value float_arithmetic(Runtime& runtime, std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") {
    if (a == 0 && b < 0) runtime.fail("0.0 cannot be raised to a negative power");
    if (a < 0 && b != std::floor(b)) runtime.fail("a power that is a complex number");
    const double out = std::pow(a, b);
    if (std::isinf(out) && std::isfinite(a) && std::isfinite(b)) runtime.fail("a power that is too large");
    return out;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == "/") return a / b;
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  } else if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  }
  if (op == "%") return remainder;
  const double whole = std::floor(quotient);
  if (quotient == 0) return std::copysign(0.0, a / b);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

// text * n and list * n.
std::optional<Value> repeated(Runtime& runtime, const Value& a, const Value& b) {
  const std::string* text = as_text(a);
  const List* list = as<List>(a);
  const bool is_list = list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple);
  const auto count = as_integer(b);
  if ((text == nullptr && !is_list) || !count) return std::nullopt;
  const size_t size = text != nullptr ? text->size() : list->items.size() * sizeof(Value);
  const Integer times = size == 0 || *count < 0 ? 0 : *count;
  constexpr Integer kMost = Integer{1} << 40;
  const auto bytes = static_cast<size_t>(times > kMost ? kMost : times) * size;
  runtime.take(bytes);
  runtime.step_bytes(bytes);
  Value out;
  if (text != nullptr) {
    std::string made;
    for (Integer i = 0; i < times; ++i) made += *text;
    runtime.give_back(bytes);
    out = runtime.text(std::move(made));
  } else {
    std::vector<Value> made;
    for (Integer i = 0; i < times; ++i) made.insert(made.end(), list->items.begin(), list->items.end());
    runtime.give_back(bytes);
    out = runtime.list(std::move(made), list->kind);
  }
  return out;
}

std::optional<Value> joined(Runtime& runtime, const Value& a, const Value& b) {
  if (const std::string* x = as_text(a), *y = as_text(b); x != nullptr && y != nullptr) {
    runtime.take(x->size() + y->size());
    std::string out = *x + *y;
    runtime.give_back(out.size());
    return runtime.text(std::move(out));
  }
  const List *x = as<List>(a), *y = as<List>(b);
  if (x == nullptr || y == nullptr || x->kind != y->kind) return std::nullopt;
  if (x->kind != ListKind::kList && x->kind != ListKind::kTuple) return std::nullopt;
  std::vector<Value> items = x->items;
  items.insert(items.end(), y->items.begin(), y->items.end());
  return runtime.list(std::move(items), x->kind);
}

}  // namespace

Value unary(Runtime& runtime, std::string_view op, const Value& a) {
  if (op == "not") return !truth(a);
  if (const auto i = as_integer(a)) return op == "+" ? Value(*i) : integer_arithmetic(runtime, "-", 0, *i);
  if (const auto* d = std::get_if<double>(&a)) return op == "+" ? *d : -*d;
  if (is_undefined(a)) runtime.fail_undefined(a);
  runtime.fail(fmt::format("bad operand type for unary {}: '{}'", op, type_name(a)));
}

Value binary(Runtime& runtime, std::string_view op, const Value& a, const Value& b) {
  if (const auto x = as_integer(a), y = as_integer(b); x && y) return integer_arithmetic(runtime, op, *x, *y);
  if (const auto x = as_number(a), y = as_number(b); x && y) return float_arithmetic(runtime, op, *x, *y);
  if (op == "+") {
    if (auto out = joined(runtime, a, b)) return *out;
  } else if (op == "*") {
    if (auto out = repeated(runtime, a, b)) return *out;
    if (auto out = repeated(runtime, b, a)) return *out;
  } else if (const std::string* format = as_text(a); op == "%" && format != nullptr) {
    return runtime.text(percent_format(runtime, *format, b));
  }
  fail_operands(runtime, op, a, b);
}

bool compares(Runtime& runtime, std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equal(runtime, a, b);
  if (op == "!=") return !equal(runtime, a, b);
  if (op == "in") return contains(runtime, b, a);
  if (op == "not in") return !contains(runtime, b, a);
  const auto x = as_number(a), y = as_number(b);
  if (x && y && (std::isnan(*x) || std::isnan(*y))) return false;
  const int order = compare(runtime, a, b, op);
  return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

Value call(Runtime& runtime, const Value& callee, Arguments& arguments) {
  if (is_undefined(callee)) runtime.fail_undefined(callee);
  Callable* callable = as<Callable>(callee);
  if (Loop* loop = as<Loop>(callee)) {
    if (loop->recurse == nullptr) runtime.fail("loop() needs 'recursive' in the for tag");
    callable = loop->recurse;
  }
  if (callable == nullptr) runtime.fail(fmt::format("'{}' object is not callable", type_name(callee)));
  return callable->call(runtime, arguments);
}

}  // namespace fathom::jinja
