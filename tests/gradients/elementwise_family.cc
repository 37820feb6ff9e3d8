#include "families.h"

namespace fathom {
namespace {

using Args = std::span<const Value>;
const Shape kShape{{"b", 3}, {"d", 5}};
const Shape kEmpty{{"b", 0}, {"d", 5}};

}  // namespace

void unary_family(GradientChecks& t) {
  struct Row {
    const char* name;
    Value (*f)(Operand);
    double low, high;
  };
  const Row rows[] = {
      {"negate", [](Operand x) { return -x; }, -1, 1},
      {"exp", exp, -2, 2},
      {"log", log, 0.2, 3},
      {"tanh", tanh, -2, 2},
      {"logistic", logistic, -3, 3},
      {"sqrt", sqrt, 0.2, 3},
      {"rsqrt", rsqrt, 0.2, 3},
      {"sin", sin, -3, 3},
      {"cos", cos, -3, 3},
  };
  for (const Row& row : rows) {
    auto f = [&](Args x) { return row.f(x[0]); };
    t.check(row.name, {{kShape, row.low, row.high}}, f);
    t.check(std::string(row.name) + " of a scalar", {{{}, row.low, row.high}}, f);
    // The result used twice, so that two cotangents meet in one value.
    t.check(std::string(row.name) + " squared", {{kShape, row.low, row.high}}, [&](Args x) {
      Value y = row.f(x[0]);
      return y * y + y;
    });
  }
  t.check("unary of nothing", {{kEmpty, 0.5, 1}}, [](Args x) { return log(sqrt(exp(x[0]))); });
  t.check("there and back through float32", {{kShape}},
          [](Args x) { return convert(convert(x[0] * 0, DType::kF32), DType::kF64) + x[0]; });
  t.check("marks", {{kShape}}, [](Args x) {
    Value y = rename(tag(x[0] * x[0], "square"), "d", "e");
    y = barrier({shard(y, {}), x[0]})[0];
    return y * stop_gradient(zeros_like(y)) + y;
  });
  t.check("every output of a barrier", {{kShape}, {kShape}}, [](Args x) {
    std::vector<Value> out = barrier({x[0] * x[1], x[1], x[0]});
    return out[0] * out[1] + out[2];
  });
}

void binary_family(GradientChecks& t) {
  struct Row {
    const char* name;
    Value (*f)(Operand, Operand);
    double low0, high0, low1, high1;
  };
  const Row rows[] = {
      {"add", [](Operand a, Operand b) { return a + b; }, -1, 1, -1, 1},
      {"subtract", [](Operand a, Operand b) { return a - b; }, -1, 1, -1, 1},
      {"multiply", [](Operand a, Operand b) { return a * b; }, -1, 1, -1, 1},
      {"divide", [](Operand a, Operand b) { return a / b; }, -1, 1, 0.5, 2},
      {"maximum", maximum, -1, 1, -1, 1},
      {"minimum", minimum, -1, 1, -1, 1},
      {"pow", pow, 0.3, 2, -2, 2},
  };
  for (const Row& row : rows) {
    auto f = [&](Args x) { return row.f(x[0], x[1]); };
    const std::string name = row.name;
    t.check(name, {{kShape, row.low0, row.high0}, {kShape, row.low1, row.high1}}, f);
    t.check(name + ", rhs broadcast", {{kShape, row.low0, row.high0}, {{{"d", 5}}, row.low1, row.high1}}, f);
    t.check(name + ", lhs broadcast and transposed",
            {{{{"d", 5}, {"b", 3}}, row.low0, row.high0}, {{{"b", 3}, {"s", 2}, {"d", 5}}, row.low1, row.high1}}, f);
    t.check(name + ", scalar", {{{}, row.low0, row.high0}, {kShape, row.low1, row.high1}}, f);
    t.check(name + " of nothing", {{kEmpty, row.low0, row.high0}, {{{"d", 5}}, row.low1, row.high1}}, f);
    if (name != "maximum" && name != "minimum") {
      t.check(name + " of itself", {{kShape, 0.5, 2}}, [&](Args x) { return row.f(x[0], x[0]); });
    }
  }
  for (double k : {-1.5, 0.0, 1.0, 2.0, 3.0}) {
    t.check("power of " + std::to_string(k), {{kShape, 0.3, 2}}, [=](Args x) { return pow(x[0], k); });
  }
  t.check("number to a power", {{kShape}}, [](Args x) { return pow(2.5, x[0]); });
  t.check("select", {{kShape}, {kShape}}, [](Args x) { return select(greater(x[0], x[1]), x[0] * x[1], x[1]); });
  t.check("select of one value twice", {{kShape}}, [](Args x) { return select(less(x[0], 0.1), x[0], x[0] * 2); });
  t.check("select, broadcast", {{{{"d", 5}}}, {kShape}}, [](Args x) { return select(greater(x[0], 0), x[0], x[1]); });
  t.check("clamp", {{kShape, -0.6, -0.4}, {kShape}, {kShape, 0.4, 0.6}},
          [](Args x) { return clamp(x[0], x[1], x[2]) * x[1]; });
  t.check("clamp by scalars", {{kShape}, {{}, 0.4, 0.6}}, [](Args x) { return clamp(-0.3, x[0], x[1]); });
}

}  // namespace fathom
