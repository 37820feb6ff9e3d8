#include "families.h"

namespace fathom {
namespace {

using Args = std::span<const Value>;

Value square(Value x) { return x * x; }

}  // namespace

void movement_family(GradientChecks& t) {
  const Shape table{{"v", 5}, {"d", 3}};
  const Shape scores{{"b", 2}, {"s", 3}, {"e", 6}};
  // 9 and -2 are out of range: gather clamps them, scatter_add drops them.
  Value tokens = t.values(DType::kS32, {{"b", 2}, {"s", 3}}, {0, 3, 3, 9, -2, 4});
  Value chosen = t.values(DType::kS32, {{"s", 3}, {"k", 2}, {"b", 2}}, {0, 5, 2, 2, 1, 3, 4, 0, 7, 5, 5, 1});
  Value order = t.values(DType::kS32, {{"e", 6}}, {2, 0, 5, 1, 4, 3});
  Value none = t.values(DType::kS32, {{"n", 0}}, {});

  t.check("embedding", {{table}}, [=](Args x) { return square(gather(x[0], tokens, "v")); });
  t.check("gather with batch axes", {{scores}}, [=](Args x) { return square(gather(x[0], chosen, "e")); });
  t.check("gather in the middle", {{scores}},
          [=](Args x) { return square(gather(x[0], rename(order, "e", "n"), "s")); });
  t.check("permutation", {{scores}}, [=](Args x) { return square(gather(x[0], order, "e")); });
  t.check("gather nothing", {{table}}, [=](Args x) { return gather(x[0], none, "v"); });
  t.check("scatter_add", {{table}, {{{"b", 2}, {"s", 3}, {"d", 3}}}},
          [=](Args x) { return square(scatter_add(x[0], tokens, x[1], "v")); });
  t.check("scatter_add with batch axes", {{scores}, {{{"s", 3}, {"k", 2}, {"b", 2}}}},
          [=](Args x) { return square(scatter_add(x[0], chosen, x[1], "e")); });
  t.check("scatter_add nothing", {{table}, {{{"n", 0}, {"d", 3}}}},
          [=](Args x) { return square(scatter_add(x[0], none, x[1], "v")); });
  t.check("scatter_add to nothing", {{{{"v", 0}, {"d", 3}}}, {{{"b", 2}, {"s", 3}, {"d", 3}}}},
          [=](Args x) { return scatter_add(x[0], tokens, x[1], "v"); });
  t.check("scatter_add of its own row", {{table}},
          [=](Args x) { return square(scatter_add(x[0], tokens, gather(x[0], tokens, "v"), "v")); });

  for (bool descending : {false, true}) {
    const std::string way = descending ? ", descending" : "";
    t.check("sort" + way, {{scores}}, [=](Args x) { return square(sort({x[0]}, "e", descending)[0]); });
    t.check("sort with payloads" + way, {{scores}, {scores}, {scores}}, [=](Args x) {
      std::vector<Value> y = sort({x[0], x[1], x[2]}, "s", descending);
      return square(y[1]) * y[2];
    });
    t.check("argsort and gather" + way, {{scores}},
            [=](Args x) { return square(gather(x[0], rename(argsort(x[0], "e", descending), "e", "k"), "e")); });
  }
  t.check("sort nothing", {{{{"b", 2}, {"e", 0}}}}, [](Args x) { return sort({x[0]}, "e")[0]; });
  t.check("top_k", {{scores}}, [](Args x) { return square(top_k(x[0], "e", 2, "k").values); });
  t.check("top_k in the middle", {{scores}}, [](Args x) { return square(top_k(x[0], "s", 2, "k").values); });
  t.check("top_k indices", {{scores}}, [](Args x) {
    TopK top = top_k(x[0], "e", 3, "k");
    return square(gather(x[0], top.indices, "e")) * top.values;
  });
}

}  // namespace fathom
