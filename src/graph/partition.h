// How values are split over the device mesh: the table of logical axis rules, applied to parameters (which carry
// logical names) and to activations (whose named axes have one logical name each).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/signature.h"

namespace fathom {

class Partition {
 public:
  // `rules` in the order of preference; mesh axes that the mesh does not have (size 1) are passed over.
  Partition(Mesh mesh, std::vector<AxisRule> rules) : mesh_(std::move(mesh)), rules_(std::move(rules)) {}

  const Mesh& mesh() const { return mesh_; }
  // Devices along these mesh axes together.
  int64_t devices(const std::vector<std::string>& mesh_axes) const;
  // All axes of the mesh, in order.
  std::vector<std::string> all_axes() const;

  // The mesh axes that the first rule for this logical name splits by.
  std::vector<std::string> axes_of(std::string_view logical) const;

  // The sharding of a tensor whose axes have these logical names ("" for an axis that is never split). A mesh axis
  // splits at most one axis. Throws ConfigError when a split does not divide the axis, naming `what`, axis and mesh
  // axes.
  Sharding of(const std::vector<std::string>& logical, const Shape& shape, std::string_view what) const;
  // The sharding of an activation, by the names of its axes: "b", "s", "h", "f", "e", "v" and so on; other names are
  // never split.
  Sharding activation(const Shape& shape) const;
  // The mesh axes that split one axis of an activation by its name.
  std::vector<std::string> activation_axes(std::string_view axis) const;

 private:
  std::vector<std::string> present(const std::vector<std::string>& mesh_axes) const;

  Mesh mesh_;
  std::vector<AxisRule> rules_;
};

// The shape that one device holds of a tensor that is split like this.
Shape local_shape(const Shape& shape, const Sharding& sharding, const Mesh& mesh);

// The mesh axes that split a tensor, in the order of its axes.
std::vector<std::string> split_axes(const Sharding& sharding);

// The groups of devices that work together along these mesh axes, as MLIR spells replica_groups:
// "dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>".
std::string replica_groups_text(const Mesh& mesh, const std::vector<std::string>& mesh_axes);
// Each device of these groups and the next one of its group, the first behind the last, as source_target_pairs:
// "dense<[[0, 1], [1, 0]]> : tensor<2x2xi64>".
std::string ring_pairs_text(const Mesh& mesh, const std::vector<std::string>& mesh_axes);

}  // namespace fathom
