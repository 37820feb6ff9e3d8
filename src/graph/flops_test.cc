#include "graph/flops.h"

#include <gtest/gtest.h>

#include "graph/ops.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

TEST(ProductFlops, ProductsThatAreNeededCountAsOftenAsTheyRun) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"b", 3}, {"d", 5}}});
  Value w = g.arg("w", {DType::kF32, {{"l", 4}, {"e", 5}, {"d", 5}}});
  dot(x, rename(x, "b", "c"), "d");  // nobody asks for it
  auto layers = scan(g, {.axis = "l", .length = 4}, {x}, {w},
                     [](Value, std::span<const Value> carry, std::span<const Value> slice) {
                       return ScanBody{.carry = {rename(dot(carry[0], slice[0], "d"), "e", "d")}, .stack = {}};
                     });
  g.root().results = {layers.carry[0]};
  EXPECT_EQ(product_flops(g, {}), 4 * 2.0 * 3 * 5 * 5);
}

TEST(ProductFlops, EveryRowOfAGroupedProductMeetsOneMatrix) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"m", 10}, {"k", 3}}});
  Value w = g.arg("w", {DType::kF32, {{"e", 4}, {"n", 5}, {"k", 3}}});
  Value sizes = g.arg("sizes", {DType::kS32, {{"e", 4}}});
  g.root().results = {ragged_dot(x, w, sizes, "k")};
  EXPECT_EQ(product_flops(g, {}), 2.0 * 10 * 3 * 5);
}

}  // namespace
}  // namespace fathom
