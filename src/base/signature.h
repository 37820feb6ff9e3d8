// What a compiled program takes and gives: the joint between staged code (which builds it) and the runtime (which feeds
// it). Neither side knows the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/shape.h"

namespace fathom {

// The device mesh: named axes in order, outermost first. A mesh of one device has no axes.
struct Mesh {
  std::vector<Axis> axes;

  int64_t devices() const {
    int64_t n = 1;
    for (const Axis& a : axes) n *= a.size;
    return n;
  }
  friend bool operator==(const Mesh&, const Mesh&) = default;
};

// For each axis of a tensor the mesh axes that split it, outermost first; an empty list is an unsplit axis. An empty
// `dims` means replicated.
struct Sharding {
  std::vector<std::vector<std::string>> dims;
  bool replicated() const {
    for (const auto& d : dims) {
      if (!d.empty()) return false;
    }
    return true;
  }
  friend bool operator==(const Sharding&, const Sharding&) = default;
};

// One row of the sharding table: a logical axis and the mesh axes that may split it. Rows of the same name are
// fallbacks, tried in order.
struct AxisRule {
  std::string logical;
  std::vector<std::string> mesh_axes;
  friend bool operator==(const AxisRule&, const AxisRule&) = default;
};

struct ArgSpec {
  std::string name;
  TensorType type;
  Sharding sharding;
  // Index of the result that takes over this argument's memory, or nothing: the argument is then not donated.
  std::optional<int> donated_to;
};

struct ResultSpec {
  std::string name;
  TensorType type;
  Sharding sharding;
  // Of a vector of scalars: what each of them is.
  std::vector<std::string> elements = {};
};

struct Signature {
  std::vector<ArgSpec> args;
  std::vector<ResultSpec> results;
  Mesh mesh;
};

}  // namespace fathom
