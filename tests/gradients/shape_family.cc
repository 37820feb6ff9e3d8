#include "families.h"

namespace fathom {
namespace {

using Args = std::span<const Value>;
const Shape kShape{{"b", 2}, {"s", 4}, {"d", 6}};

Value square(Value x) { return x * x; }

}  // namespace

void shape_family(GradientChecks& t) {
  t.check("broadcast", {{{{"d", 6}, {"b", 2}}}}, [](Args x) { return square(broadcast(x[0], kShape)); });
  t.check("broadcast of a scalar", {{{}}}, [](Args x) { return square(broadcast(x[0], kShape)); });
  t.check("broadcast to nothing", {{{{"d", 6}}}}, [](Args x) { return broadcast(x[0], {{"b", 0}, {"d", 6}}); });
  t.check("transpose", {{kShape}}, [](Args x) { return square(transpose(x[0], "d b s")); });
  t.check("split and merge", {{kShape}}, [](Args x) {
    return square(merge_axes(split_axis(x[0], "d", {{"h", 3}, {"e", -1}}), "h s", "n"));
  });
  t.check("expand, squeeze", {{kShape}}, [](Args x) { return square(squeeze(expand(square(x[0]), "l"), "l")); });
  t.check("concatenate", {{kShape}, {{{"s", 3}, {"b", 2}, {"d", 6}}}}, [](Args x) {
    return square(concatenate({x[0], x[1], x[0]}, "s"));
  });
  t.check("concatenate nothing", {{kShape}, {{{"b", 2}, {"s", 0}, {"d", 6}}}}, [](Args x) {
    return square(concatenate({x[1], x[0]}, "s"));
  });
  t.check("slice", {{kShape}}, [](Args x) { return square(slice(x[0], "s", 1, 3)); });
  for (int64_t stride : {2, 3, 4, 7}) {
    t.check("slice in steps of " + std::to_string(stride), {{kShape}},
            [=](Args x) { return square(slice(x[0], "d", 1, 6, stride)); });
  }
  t.check("empty slice", {{kShape}}, [](Args x) { return slice(x[0], "d", 2, 2); });
  t.check("split into parts", {{kShape}}, [](Args x) {
    std::vector<Value> parts = split(x[0], "d", {1, 2, 0, 3});
    return reduce_sum(square(parts[0]), "d") + reduce_sum(square(parts[3]), "d") + reduce_sum(parts[3], "d");
  });
  t.check("pad", {{kShape}}, [](Args x) { return square(pad(x[0], "s", 2, 1, 0.7)); });
  t.check("pad nothing", {{{{"s", 0}, {"d", 2}}}}, [](Args x) { return square(pad(x[0], "s", 2, 1, 0.7)); });
  // The second derivative of a slice in steps is that of a pad between elements.
  t.check("pad with a computed value", {{kShape}, {{}}}, [](Args x) {
    Graph& g = x[0].graph();
    PadAttrs a{{0, 1, 0}, {0, 0, 2}, {0, 2, 1}};
    return square(g.make(Op::kPad, {x[0], x[1]}, a, Where::current()).result());
  });
  for (double start : {0.0, 1.0, 9.0}) {  // 9 is clamped
    auto at = [=](Args x) { return constant(x[0].graph(), start, {DType::kS32, {}}); };
    const std::string name = " at " + std::to_string(static_cast<int>(start));
    t.check("dynamic slice" + name, {{kShape}}, [=](Args x) { return square(dynamic_slice(x[0], "s", at(x), 2)); });
    t.check("dynamic index" + name, {{kShape}}, [=](Args x) { return square(dynamic_index(x[0], "s", at(x))); });
    t.check("dynamic update" + name, {{kShape}, {{{"b", 2}, {"s", 2}, {"d", 6}}}},
            [=](Args x) { return square(dynamic_update_slice(x[0], x[1], "s", at(x))); });
  }
}

}  // namespace fathom
