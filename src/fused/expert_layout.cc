#include "fused/expert_layout.h"

#include <algorithm>

namespace fathom {
namespace {

bool has(const MeshAxes& axes, const std::string& axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

}  // namespace

std::optional<ExpertLayout> expert_layout(const Partition& p, const Shape& x, const Sharding& gate,
                                          const Sharding& down) {
  ExpertLayout l;
  l.gate = gate;
  l.down = down;
  l.tokens = p.activation(Shape{x[0], x[1]});
  l.tokens.dims.resize(3);
  l.expert = gate.dims[0];
  l.width = gate.dims[1];
  l.model = gate.dims[2];
  MeshAxes token_axes;
  for (const MeshAxes& dim : l.tokens.dims) token_axes.insert(token_axes.end(), dim.begin(), dim.end());
  for (const MeshAxes* axes : {&l.expert, &l.model}) {
    for (const std::string& a : *axes) {
      if (!has(token_axes, a)) return std::nullopt;
    }
  }
  for (const std::string& a : l.width) {
    if (has(token_axes, a)) return std::nullopt;
  }
  for (const std::string& a : token_axes) {
    if (!has(l.expert, a) && !has(l.model, a)) l.rows.push_back(a);
  }
  if (down.dims[0] != l.expert || down.dims[1] != l.model || down.dims[2] != l.width) return std::nullopt;
  return l;
}

}  // namespace fathom
