// Which part of a whole array one device of a mesh holds.
#pragma once

#include <cstdint>
#include <vector>

#include "base/host_array.h"
#include "base/signature.h"

namespace fathom {

// A box of an array: along each axis the first element and how many.
struct ArraySlice {
  std::vector<int64_t> start;
  std::vector<int64_t> sizes;

  int64_t elements() const;
  friend auto operator<=>(const ArraySlice&, const ArraySlice&) = default;
};

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

// The elements of a slice: a view of the whole where they stand in one piece, else a copy.
HostArray cut(const HostArray& whole, const ArraySlice& slice);
// Writes the elements of a slice into their place in `whole`.
void paste(HostArray& whole, const ArraySlice& slice, const HostArray& part);

// Calls run(offset in the whole, offset in the slice, count) for each piece that is contiguous in both, in order; all
// in elements.
template <class Run>
void for_each_run(const std::vector<int64_t>& whole, const ArraySlice& slice, Run run) {
  const size_t rank = whole.size();
  if (slice.elements() == 0) return;
  // Axes from `inner` on are whole and form one run with the axis before them.
  size_t inner = rank;
  while (inner > 0 && slice.sizes[inner - 1] == whole[inner - 1]) --inner;
  if (inner > 0) --inner;
  int64_t count = 1;
  for (size_t i = inner; i < rank; ++i) count *= slice.sizes[i];
  std::vector<int64_t> index(inner, 0);  // over the outer axes of the slice
  for (int64_t done = 0;;) {
    int64_t offset = 0;
    for (size_t i = 0; i < rank; ++i) offset = offset * whole[i] + slice.start[i] + (i < inner ? index[i] : 0);
    run(offset, done, count);
    done += count;
    size_t axis = inner;
    while (axis > 0 && ++index[axis - 1] == slice.sizes[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

}  // namespace fathom
