#include "graph/partition.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace fathom {
namespace {

// The logical axis of each named axis of an activation, in the order in which they claim mesh axes: where the experts
// are an axis of their own, they take theirs before the rows do.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kActivationAxes{{
    {"e", "activation_exp"},
    {"b", "activation_batch"},
    {"s", "activation_length"},
    {"t", "activation_kv_length"},
    {"h", "activation_heads"},
    {"f", "activation_mlp"},
    {"v", "activation_vocab"},
    {"d", "activation_embed"},
}};

std::string spell(const std::vector<std::string>& mesh_axes, const Partition& p) {
  std::string out;
  for (const std::string& a : mesh_axes) out += fmt::format("{}{}={}", out.empty() ? "" : " x ", a, p.devices({a}));
  return out;
}

void check_divides(const Axis& axis, const std::vector<std::string>& mesh_axes, const Partition& p,
                   std::string_view what) {
  if (axis.size % p.devices(mesh_axes) == 0) return;
  throw ConfigError(fmt::format(
      "{}: axis '{}' of size {} cannot be split over {} = {} devices: change the ici_*/dcn_*_parallelism keys or "
      "logical_axis_rules",
      what, axis.name, axis.size, spell(mesh_axes, p), p.devices(mesh_axes)));
}

// The mesh axes that are still free, each taken.
std::vector<std::string> claim(const std::vector<std::string>& wanted, std::vector<std::string>& used) {
  std::vector<std::string> out;
  for (const std::string& a : wanted) {
    if (std::find(used.begin(), used.end(), a) != used.end()) continue;
    out.push_back(a);
    used.push_back(a);
  }
  return out;
}

}  // namespace

int64_t Partition::devices(const std::vector<std::string>& mesh_axes) const {
  int64_t n = 1;
  for (const Axis& a : mesh_.axes) {
    if (std::find(mesh_axes.begin(), mesh_axes.end(), a.name) != mesh_axes.end()) n *= a.size;
  }
  return n;
}

std::vector<std::string> Partition::all_axes() const {
  std::vector<std::string> out;
  for (const Axis& a : mesh_.axes) out.push_back(a.name);
  return out;
}

std::vector<std::string> Partition::present(const std::vector<std::string>& mesh_axes) const {
  std::vector<std::string> out;
  for (const std::string& name : mesh_axes) {
    bool there = std::any_of(mesh_.axes.begin(), mesh_.axes.end(), [&](const Axis& a) { return a.name == name; });
    if (there) out.push_back(name);
  }
  return out;
}

// As flax.linen.logical_to_mesh_axes: a rule whose mesh axes are taken already is passed over, so that a later one of
// the same name may serve.
Sharding Partition::of(const std::vector<std::string>& logical, const Shape& shape, std::string_view what) const {
  Sharding out;
  out.dims.resize(static_cast<size_t>(shape.rank()));
  std::vector<bool> done(out.dims.size(), false);
  std::vector<std::string> used;
  for (const AxisRule& rule : rules_) {
    for (size_t i = 0; i < logical.size(); ++i) {
      if (done[i] || logical[i] != rule.logical) continue;
      std::vector<std::string> wanted = present(rule.mesh_axes);
      bool taken = std::any_of(wanted.begin(), wanted.end(), [&](const std::string& a) {
        return std::find(used.begin(), used.end(), a) != used.end();
      });
      if (taken) continue;
      check_divides(shape[static_cast<int>(i)], wanted, *this, what);
      out.dims[i] = claim(wanted, used);
      done[i] = true;
    }
  }
  return out;
}

std::vector<std::string> Partition::axes_of(std::string_view logical) const {
  for (const AxisRule& rule : rules_) {
    if (rule.logical == logical) return present(rule.mesh_axes);
  }
  return {};
}

std::vector<std::string> Partition::activation_axes(std::string_view axis) const {
  for (auto [name, logical] : kActivationAxes) {
    if (name == axis) return axes_of(logical);
  }
  return {};
}

Sharding Partition::activation(const Shape& shape) const {
  Sharding out;
  out.dims.resize(static_cast<size_t>(shape.rank()));
  std::vector<std::string> used;
  for (auto [name, logical] : kActivationAxes) {
    int i = shape.find(name);
    if (i < 0) continue;
    std::vector<std::string>& dim = out.dims[static_cast<size_t>(i)];
    dim = claim(activation_axes(name), used);
    check_divides(shape[i], dim, *this, fmt::format("activations {}", TensorType{DType::kF32, shape}.to_string()));
  }
  return out;
}

Shape local_shape(const Shape& shape, const Sharding& sharding, const Mesh& mesh) {
  std::vector<Axis> axes(shape.begin(), shape.end());
  for (size_t i = 0; i < sharding.dims.size(); ++i) {
    for (const std::string& name : sharding.dims[i]) {
      for (const Axis& a : mesh.axes) {
        if (a.name == name) axes[i].size /= a.size;
      }
    }
  }
  return Shape(std::move(axes));
}

namespace {

// All sums of multiples of the strides, the first axis slowest.
std::vector<int64_t> offsets(const std::vector<Axis>& axes, const std::vector<int64_t>& strides) {
  std::vector<int64_t> out{0};
  for (size_t i = 0; i < axes.size(); ++i) {
    std::vector<int64_t> next;
    for (int64_t base : out) {
      for (int64_t k = 0; k < axes[i].size; ++k) next.push_back(base + k * strides[i]);
    }
    out = std::move(next);
  }
  return out;
}

}  // namespace

std::vector<std::string> split_axes(const Sharding& sharding) {
  std::vector<std::string> out;
  for (const auto& dim : sharding.dims) out.insert(out.end(), dim.begin(), dim.end());
  return out;
}

namespace {

// Devices are numbered row-major over the mesh; a group runs over `mesh_axes`, the first one slowest.
std::vector<std::vector<int64_t>> device_groups(const Mesh& mesh, const std::vector<std::string>& mesh_axes) {
  std::vector<Axis> inner(mesh_axes.size());
  std::vector<Axis> outer;
  std::vector<int64_t> inner_strides(mesh_axes.size());
  std::vector<int64_t> outer_strides;
  int64_t stride = mesh.devices();
  for (const Axis& a : mesh.axes) {
    stride /= a.size;
    auto at = std::find(mesh_axes.begin(), mesh_axes.end(), a.name) - mesh_axes.begin();
    if (at < static_cast<std::ptrdiff_t>(mesh_axes.size())) {
      inner[static_cast<size_t>(at)] = a;
      inner_strides[static_cast<size_t>(at)] = stride;
    } else {
      outer.push_back(a);
      outer_strides.push_back(stride);
    }
  }
  std::vector<int64_t> members = offsets(inner, inner_strides);
  std::vector<int64_t> starts = offsets(outer, outer_strides);
  std::vector<std::vector<int64_t>> groups;
  for (int64_t start : starts) {
    groups.push_back(members);
    for (int64_t& m : groups.back()) m += start;
  }
  return groups;
}

// Rows of numbers, all of one length.
std::string rows_text(const std::vector<std::vector<int64_t>>& rows) {
  std::string text;
  for (const std::vector<int64_t>& row : rows) {
    text += fmt::format("{}[{}]", text.empty() ? "" : ", ", fmt::join(row, ", "));
  }
  return fmt::format("dense<[{}]> : tensor<{}x{}xi64>", text, rows.size(), rows.at(0).size());
}

}  // namespace

std::string replica_groups_text(const Mesh& mesh, const std::vector<std::string>& mesh_axes) {
  return rows_text(device_groups(mesh, mesh_axes));
}

std::string ring_pairs_text(const Mesh& mesh, const std::vector<std::string>& mesh_axes) {
  std::vector<std::vector<int64_t>> pairs;
  for (const std::vector<int64_t>& group : device_groups(mesh, mesh_axes)) {
    for (size_t i = 0; i < group.size(); ++i) pairs.push_back({group[i], group[(i + 1) % group.size()]});
  }
  return rows_text(pairs);
}

}  // namespace fathom
