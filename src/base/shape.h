// Shapes with named axes: every axis of a value has a name and a size, and operations speak of axes by name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace fathom {

struct Axis {
  std::string name;
  int64_t size = 0;
  friend bool operator==(const Axis&, const Axis&) = default;
};

// An ordered list of axes with distinct names. The order is the order in memory, the last axis varying fastest.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Axis> axes) : Shape(std::vector<Axis>(axes)) {}
  // Throws std::invalid_argument when two axes share a name or a size is negative.
  explicit Shape(std::vector<Axis> axes);

  int rank() const { return static_cast<int>(axes_.size()); }
  const std::vector<Axis>& axes() const { return axes_; }
  const Axis& operator[](int i) const { return axes_[static_cast<size_t>(i)]; }
  auto begin() const { return axes_.begin(); }
  auto end() const { return axes_.end(); }

  // Position of the axis, or -1.
  int find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) >= 0; }
  // Size of a named axis that must exist; throws std::invalid_argument naming both otherwise.
  int64_t size(std::string_view name) const;
  // Product of all sizes; 1 for a scalar.
  int64_t elements() const;
  std::vector<int64_t> sizes() const;
  std::vector<std::string> names() const;
  // "[b=2 s=16 d=64]"; a scalar is "[]".
  std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<Axis> axes_;
};

// Element type and shape of a value.
struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  int64_t bytes() const { return shape.elements() * byte_size(dtype); }
  // "f32[b=2 s=16]"
  std::string to_string() const;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Splits "b s d" into its names.
std::vector<std::string> split_names(std::string_view names);

}  // namespace fathom
