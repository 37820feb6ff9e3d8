// The experts' matrices, and how they and the tokens lie on a mesh.
#pragma once

#include <optional>

#include "graph/ops.h"
#include "graph/partition.h"

namespace fathom {

// The experts' matrices and how they are split; w_down's last axis and w_gate's second are the inner width.
struct ExpertMatrices {
  Value w_gate, w_up;  // [e f d]
  Value w_down;        // [e d f]
  Sharding gate_split, down_split;
};

using MeshAxes = std::vector<std::string>;

// How tokens and matrices lie, and over which mesh axes each collective of a per-device form runs.
struct ExpertLayout {
  Sharding tokens;  // of [b s *]: rows and places are split, the third axis is whole
  Sharding gate, down;
  MeshAxes expert;  // over which the experts are split: the axes of an exchange
  MeshAxes width;   // over which the inner width is split: partial sums of y, dx, dweights
  MeshAxes model;   // over which the matrices' model dimension is split: gathered, and their gradients scattered
  MeshAxes rows;    // over which tokens are split and matrices are whole: gradients summed
};

// `x` is the shape of the tokens, [b s d]. Nothing when the matrices are split over axes over which tokens are not
// (their gradients would be summed twice), or w_gate and w_down differently.
std::optional<ExpertLayout> expert_layout(const Partition& p, const Shape& x, const Sharding& gate,
                                          const Sharding& down);

}  // namespace fathom
