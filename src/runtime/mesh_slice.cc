#include "runtime/mesh_slice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw PjrtError(PjrtCode::kInvalidArgument, "slice_at", text); }

size_t axis_of(const Mesh& mesh, const std::string& name) {
  for (size_t i = 0; i < mesh.axes.size(); ++i) {
    if (mesh.axes[i].name == name) return i;
  }
  refuse(fmt::format("a sharding names the mesh axis '{}', which the mesh does not have", name));
}

}  // namespace

std::vector<int64_t> mesh_coordinates(const Mesh& mesh, int64_t position) {
  std::vector<int64_t> out(mesh.axes.size());
  for (size_t i = out.size(); i-- > 0;) {
    out[i] = position % mesh.axes[i].size;
    position /= mesh.axes[i].size;
  }
  return out;
}

int64_t count_slices(const Sharding& sharding, const Mesh& mesh) {
  int64_t out = 1;
  for (const auto& dim : sharding.dims) {
    for (const std::string& axis : dim) out *= mesh.axes[axis_of(mesh, axis)].size;
  }
  return out;
}

ArraySlice slice_at(const std::vector<int64_t>& sizes, const Sharding& sharding, const Mesh& mesh, int64_t position) {
  if (position < 0 || position >= mesh.devices()) {
    refuse(fmt::format("position {} is outside of a mesh of {} devices", position, mesh.devices()));
  }
  ArraySlice out{std::vector<int64_t>(sizes.size(), 0), sizes};
  if (sharding.dims.empty()) return out;
  if (sharding.dims.size() != sizes.size()) {
    refuse(
        fmt::format("a sharding of {} axes is given for an array [{}]", sharding.dims.size(), fmt::join(sizes, " ")));
  }
  std::vector<int64_t> coordinates = mesh_coordinates(mesh, position);
  std::set<size_t> used;
  for (size_t d = 0; d < sizes.size(); ++d) {
    int64_t parts = 1, index = 0;
    for (const std::string& name : sharding.dims[d]) {
      size_t axis = axis_of(mesh, name);
      if (!used.insert(axis).second) refuse(fmt::format("a sharding uses the mesh axis '{}' twice", name));
      parts *= mesh.axes[axis].size;
      index = index * mesh.axes[axis].size + coordinates[axis];
    }
    if (sizes[d] % parts != 0) {
      refuse(fmt::format("axis {} of an array [{}] cannot be split in {} equal parts over {}", d, fmt::join(sizes, " "),
                         parts, fmt::join(sharding.dims[d], " x ")));
    }
    out.sizes[d] = sizes[d] / parts;
    out.start[d] = index * out.sizes[d];
  }
  return out;
}

}  // namespace fathom
