// Which part of a whole array one device of a mesh holds.
#pragma once

#include <cstdint>
#include <vector>

#include "base/array_slice.h"
#include "base/signature.h"

namespace fathom {

// The coordinates of a mesh position: positions count row-major over the axes, the last one fastest. One number an
// axis.
std::vector<int64_t> mesh_coordinates(const Mesh& mesh, int64_t position);

// In how many different slices the sharding cuts an array; devices / parts of them hold the same one. Throws PjrtError
// for a mesh axis that the mesh does not have.
int64_t count_slices(const Sharding& sharding, const Mesh& mesh);

// What the device at `position` holds of an array of these sizes. Where several mesh axes split one axis of the array,
// the first of them is the outermost. Throws PjrtError when an axis cannot be split evenly, when the sharding names
// more axes than the array has, an axis that the mesh does not have, or one of them twice.
ArraySlice slice_at(const std::vector<int64_t>& sizes, const Sharding& sharding, const Mesh& mesh, int64_t position);

}  // namespace fathom
