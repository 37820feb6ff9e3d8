#include "graph/manual.h"

#include <fmt/format.h>

#include "graph/ops/build.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

const Partition& partition_of(Graph& g, Op op, std::span<const Value> operands, Where w) {
  if (g.partition == nullptr) graph_error(op, operands, "the graph has no mesh", w);
  return *g.partition;
}

Value collective(Op op, Value x, CollectiveAttrs attrs, Where w) {
  require_values(op, std::span(&x, 1), w);
  const Partition& p = partition_of(x.graph(), op, std::span(&x, 1), w);
  attrs.group = p.devices(attrs.mesh_axes);
  if (attrs.group == 1) return x;
  return x.graph().make(op, {x}, std::move(attrs), w).result();
}

void check_split(const Value& whole, const Sharding& sharding, const Partition& p, Where w) {
  if (static_cast<int>(sharding.dims.size()) > whole.rank()) {
    graph_error(Op::kManual, std::span(&whole, 1), fmt::format("the sharding has {} axes", sharding.dims.size()), w);
  }
  for (size_t i = 0; i < sharding.dims.size(); ++i) {
    const Axis& axis = whole.shape()[static_cast<int>(i)];
    int64_t parts = p.devices(sharding.dims[i]);
    if (axis.size % parts != 0) {
      graph_error(Op::kManual, std::span(&whole, 1),
                  fmt::format("axis '{}' of {} does not split over {} ({} devices)", axis.name, axis.size,
                              fmt::join(sharding.dims[i], " x "), parts),
                  w);
    }
  }
}

// The whole value that parts of this type make up.
TensorType whole_type(const Value& part, const Sharding& sharding, const Partition& p) {
  std::vector<Axis> axes(part.shape().begin(), part.shape().end());
  for (size_t i = 0; i < sharding.dims.size(); ++i) axes[i].size *= p.devices(sharding.dims[i]);
  return {part.dtype(), Shape(std::move(axes))};
}

}  // namespace

std::vector<Value> manual(Graph& g, const std::vector<Value>& operands, std::vector<Sharding> in,
                          std::vector<Sharding> out,
                          const std::function<std::vector<Value>(std::span<const Value>)>& body, Where w) {
  const Partition& p = partition_of(g, Op::kManual, operands, w);
  auto region = std::make_unique<Region>(g, nullptr, &g.insertion());
  std::vector<Value> local;
  for (size_t i = 0; i < operands.size(); ++i) {
    check_split(operands[i], in[i], p, w);
    local.push_back(
        region->add_arg({operands[i].dtype(), local_shape(operands[i].shape(), in[i], p.mesh())}, "local", w));
  }
  {
    Insertion inside(*region);
    region->results = body(local);
  }
  std::vector<TensorType> types;
  for (size_t i = 0; i < out.size(); ++i) types.push_back(whole_type(region->results[i], out[i], p));
  // What the body uses from outside is whole on every device.
  std::vector<Value> all = operands;
  std::vector<Value> captures = close_over(*region);
  all.insert(all.end(), captures.begin(), captures.end());
  in.resize(all.size());
  Node& node =
      g.make_typed(Op::kManual, std::move(all), std::move(types), ManualAttrs{std::move(in), std::move(out)}, w);
  region->set_owner(&node);
  node.regions.push_back(std::move(region));
  return results_of(node);
}

Value all_gather(Value x, std::string_view axis, const std::vector<std::string>& mesh_axes, Where w) {
  return collective(Op::kAllGather, x, {.mesh_axes = mesh_axes, .axis = axis_of(Op::kAllGather, x, axis, w)}, w);
}

Value all_reduce(Value x, const std::vector<std::string>& mesh_axes, Where w) {
  return collective(Op::kAllReduce, x, {.mesh_axes = mesh_axes}, w);
}

Value reduce_scatter(Value x, std::string_view axis, const std::vector<std::string>& mesh_axes, Where w) {
  return collective(Op::kReduceScatter, x, {.mesh_axes = mesh_axes, .axis = axis_of(Op::kReduceScatter, x, axis, w)},
                    w);
}

Value all_to_all(Value x, std::string_view split, std::string_view join, const std::vector<std::string>& mesh_axes,
                 Where w) {
  return collective(Op::kAllToAll, x,
                    {.mesh_axes = mesh_axes,
                     .axis = axis_of(Op::kAllToAll, x, split, w),
                     .concat_axis = axis_of(Op::kAllToAll, x, join, w)},
                    w);
}

Value ring_shift(Value x, const std::vector<std::string>& mesh_axes, Where w) {
  return collective(Op::kRingShift, x, {.mesh_axes = mesh_axes}, w);
}

// JAX spells it as this custom call; XLA turns it into its own op.
Value ragged_all_to_all(Value x, Value into, const RaggedExchange& rows, const std::vector<std::string>& mesh_axes,
                        Where w) {
  const Partition& p = partition_of(x.graph(), Op::kCustomCall, std::span(&x, 1), w);
  CustomCall call{.target = "ragged_all_to_all", .results = {into.type()}, .collective = true};
  call.config = {{"replica_groups", replica_groups_text(p.mesh(), mesh_axes)}};
  return custom_call(x.graph(), call,
                     {x, into, rows.input_offsets, rows.send_sizes, rows.output_offsets, rows.receive_sizes}, w)[0];
}

Value device_index(Graph& g, const std::vector<std::string>& mesh_axes, Where w) {
  const Partition& p = partition_of(g, Op::kPartitionId, {}, w);
  Value id = convert(g.make(Op::kPartitionId, {}, {}, w).result(), DType::kS32, w);
  Value index = constant(g, 0, {DType::kS32, {}}, w);
  // The partition's number counts row-major over the mesh.
  for (const std::string& name : mesh_axes) {
    int64_t stride = 1;
    int64_t size = 1;
    for (const Axis& a : p.mesh().axes) {
      if (a.name == name) {
        size = a.size;
        stride = 1;
      } else {
        stride *= a.size;
      }
    }
    index = index * size + remainder(id / stride, size);
  }
  return index;
}

}  // namespace fathom
