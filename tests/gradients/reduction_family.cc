#include "families.h"

namespace fathom {
namespace {

using Args = std::span<const Value>;
const Shape kShape{{"b", 2}, {"s", 3}, {"d", 5}};

Value square(Value x) { return x * x; }

void dot_checks(GradientChecks& t) {
  auto over = [](const char* names) { return [=](Args x) { return square(dot(x[0], x[1], names)); }; };
  t.check("dot", {{kShape}, {{{"d", 5}, {"f", 4}}}}, over("d"));
  t.check("dot, weight as [out in]", {{kShape}, {{{"f", 4}, {"d", 5}}}}, over("d"));
  t.check("dot, two batch axes in another order",
          {{{{"b", 2}, {"h", 3}, {"s", 4}, {"d", 5}}}, {{{"d", 5}, {"h", 3}, {"t", 2}, {"b", 2}}}}, over("d"));
  t.check("dot over two axes", {{{{"h", 3}, {"s", 4}, {"d", 5}}}, {{{"d", 5}, {"t", 2}, {"h", 3}}}}, over("d h"));
  t.check("dot over everything", {{kShape}, {kShape}}, over("s b d"));
  t.check("dot with a vector", {{kShape}, {{{"d", 5}}}}, over("d"));
  t.check("dot over nothing", {{{{"m", 2}, {"b", 3}}}, {{{"n", 4}, {"b", 3}}}}, over(""));
  t.check("dot over an empty axis", {{{{"m", 2}, {"d", 0}}}, {{{"d", 0}, {"n", 3}}}}, over("d"));
  t.check("dot with an empty axis", {{{{"m", 0}, {"d", 5}}}, {{{"d", 5}, {"n", 3}}}}, over("d"));
  t.check("dot of itself", {{kShape}}, [](Args x) { return dot(x[0], x[0], "d"); });
  t.check("dot with its renamed self", {{kShape}},
          [](Args x) { return square(dot(x[0], rename(x[0], "s", "t"), "d")); });
}

}  // namespace

void reduction_family(GradientChecks& t) {
  for (const char* axes : {"d", "b d", "d b", ""}) {
    const std::string over = std::string(" over '") + axes + "'";
    t.check("sum" + over, {{kShape}}, [=](Args x) { return square(reduce_sum(square(x[0]), axes)); });
    t.check("max" + over, {{kShape}}, [=](Args x) { return square(reduce_max(x[0], axes)); });
    t.check("min" + over, {{kShape}}, [=](Args x) { return square(reduce_min(x[0], axes)); });
    t.check("mean" + over, {{kShape}}, [=](Args x) { return square(reduce_mean(x[0], axes)); });
  }
  const Shape empty{{"b", 3}, {"d", 0}};
  t.check("sum of nothing", {{empty}}, [](Args x) { return reduce_sum(x[0], "d"); });
  t.check("no sums", {{{{"b", 0}, {"d", 3}}}}, [](Args x) { return reduce_sum(square(x[0]), "d"); });
  t.check("no maxima", {{{{"b", 0}, {"d", 3}}}}, [](Args x) { return reduce_max(square(x[0]), "d"); });
  for (int64_t n : {0, 1, 2, 7}) {
    const std::string name = "cumsum of " + std::to_string(n);
    t.check(name, {{{{"t", n}, {"e", 2}}}}, [](Args x) { return square(cumsum(x[0], "t")); });
    t.check(name + " from the end", {{{{"t", n}, {"e", 2}}}}, [](Args x) { return square(cumsum(x[0], "t", true)); });
  }
  t.check("softmax", {{kShape, -3, 3}}, [](Args x) { return softmax(x[0], "s"); });
  t.check("logsumexp", {{kShape, -3, 3}}, [](Args x) { return square(logsumexp(x[0], "d")); });
  dot_checks(t);
}

}  // namespace fathom
