// Operations between the devices of a manual region. Shapes are those of one device.
#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

// The operand's shape after its axis has become `times` as long, or one `parts`-th.
Shape scaled(const InferContext& c, const Shape& shape, int axis, int64_t times, int64_t parts) {
  if (axis < 0 || axis >= shape.rank()) c.fail(fmt::format("no axis {}", axis));
  int64_t size = shape[axis].size;
  if (size % parts != 0) {
    c.fail(fmt::format("axis '{}' of size {} does not split over {} devices", shape[axis].name, size, parts));
  }
  return with_size(shape, axis, size * times / parts);
}

const CollectiveAttrs& group_of(const InferContext& c) {
  const CollectiveAttrs& a = c.attr<CollectiveAttrs>();
  if (a.mesh_axes.empty() || a.group < 1) c.fail("names no mesh axes to run over");
  return a;
}

}  // namespace

Types infer_partition_id(const InferContext&) { return {{DType::kU32, {}}}; }

// The parts of all devices of the group joined along the axis.
Types infer_all_gather(const InferContext& c) {
  const CollectiveAttrs& a = group_of(c);
  return {{c.type().dtype, scaled(c, c.type().shape, a.axis, a.group, 1)}};
}

// The sum over the group, on each of its devices.
Types infer_all_reduce(const InferContext& c) {
  group_of(c);
  return {c.type()};
}

// The sum over the group, each device keeping one part of the axis.
Types infer_reduce_scatter(const InferContext& c) {
  const CollectiveAttrs& a = group_of(c);
  return {{c.type().dtype, scaled(c, c.type().shape, a.axis, 1, a.group)}};
}

// Each device sends part i of the axis to device i and joins what it receives along another.
Types infer_all_to_all(const InferContext& c) {
  const CollectiveAttrs& a = group_of(c);
  Shape cut = scaled(c, c.type().shape, a.axis, 1, a.group);
  return {{c.type().dtype, scaled(c, cut, a.concat_axis, a.group, 1)}};
}

// What the device before has.
Types infer_ring_shift(const InferContext& c) {
  group_of(c);
  return {c.type()};
}

}  // namespace fathom
