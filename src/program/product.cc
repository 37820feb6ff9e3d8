#include "program/product.h"

#include "graph/ops.h"

namespace fathom {

Program square_product(int64_t size) {
  Program out{.name = "product", .graph = std::make_unique<Graph>(), .signature = {}};
  auto arg = [&](const std::string& name, const Shape& shape) {
    const TensorType type{DType::kF32, shape};
    out.signature.args.push_back({.name = name, .type = type, .sharding = {}, .donated_to = {}});
    return out.graph->arg(name, type);
  };
  Value a = arg("a", Shape{{"m", size}, {"k", size}});
  Value b = arg("b", Shape{{"k", size}, {"n", size}});
  Value product = dot(a, b, "k");
  out.signature.results.push_back({.name = "product", .type = product.type(), .sharding = {}});
  out.graph->root().results = {product};
  return out;
}

}  // namespace fathom
