#include "graph/emit/spelling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>

#include "base/bf16.h"
#include "base/half.h"
#include "graph/host_memory.h"
#include "graph/partition.h"

namespace fathom {
namespace {

std::string list_text(const std::vector<int64_t>& xs) { return fmt::format("[{}]", fmt::join(xs, ", ")); }

std::string not_finite_text(double value, DType dtype) {
  float f = static_cast<float>(value);
  switch (dtype) {
    case DType::kF64:
      return fmt::format("0x{:016X}", std::bit_cast<uint64_t>(value));
    case DType::kBF16:
      return fmt::format("0x{:04X}", float_to_bf16(f));
    case DType::kF16:
      return fmt::format("0x{:04X}", float_to_half(f));
    default:
      return fmt::format("0x{:08X}", std::bit_cast<uint32_t>(f));
  }
}

// Positions in `x` of the axes (other than `axis`) that `indices` has too, and their positions in `indices`.
struct Batching {
  std::vector<int64_t> in_x, in_indices;
};
Batching batching(const Shape& x, const Shape& indices, int axis) {
  Batching out;
  for (int i = 0; i < x.rank(); ++i) {
    int j = i == axis ? -1 : indices.find(x[i].name);
    if (j < 0) continue;
    out.in_x.push_back(i);
    out.in_indices.push_back(j);
  }
  return out;
}

// Positions of gather's window axes in its result: those after the axes of the indices.
std::vector<int64_t> window_axes(const Shape& x, const Shape& indices, size_t batch_axes) {
  std::vector<int64_t> out;
  int count = x.rank() - 1 - static_cast<int>(batch_axes);
  for (int i = 0; i < count; ++i) out.push_back(indices.rank() + i);
  return out;
}

std::string gather_text(const Node& node) {
  const Shape& x = node.operands[0].shape();
  const Shape& indices = node.operands[1].shape();
  int axis = node.attr<AxisAttrs>().axis;
  Batching batch = batching(x, indices, axis);
  std::vector<int64_t> sizes = x.sizes();
  sizes[static_cast<size_t>(axis)] = 1;
  for (int64_t i : batch.in_x) sizes[static_cast<size_t>(i)] = 1;
  return fmt::format(
      "dimension_numbers = #stablehlo.gather<offset_dims = {}, collapsed_slice_dims = [{}], operand_batching_dims = "
      "{}, "
      "start_indices_batching_dims = {}, start_index_map = [{}], index_vector_dim = {}>, slice_sizes = {}, "
      "indices_are_sorted = false",
      list_text(window_axes(x, indices, batch.in_x.size())), axis, list_text(batch.in_x), list_text(batch.in_indices),
      axis, indices.rank(), array_text(sizes));
}

std::string scatter_text(const Node& node) {
  const Shape& x = node.operands[0].shape();
  const Shape& indices = node.operands[1].shape();
  int axis = node.attr<AxisAttrs>().axis;
  Batching batch = batching(x, indices, axis);
  return fmt::format(
      "scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = {}, inserted_window_dims = [{}], "
      "input_batching_dims = {}, scatter_indices_batching_dims = {}, scatter_dims_to_operand_dims = [{}], "
      "index_vector_dim = {}>, indices_are_sorted = false, unique_indices = false",
      list_text(window_axes(x, indices, batch.in_x.size())), axis, list_text(batch.in_x), list_text(batch.in_indices),
      axis, indices.rank());
}

std::string_view precision_name(Precision precision) {
  constexpr std::string_view kNames[] = {"DEFAULT", "HIGH", "HIGHEST"};
  return kNames[static_cast<int>(precision)];
}

std::string dot_text(const DotAttrs& a) {
  std::string_view p = precision_name(a.precision);
  return fmt::format(
      "dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = {}, rhs_batching_dimensions = {}, "
      "lhs_contracting_dimensions = {}, rhs_contracting_dimensions = {}>, precision_config = [#stablehlo<precision "
      "{}>, "
      "#stablehlo<precision {}>]",
      list_text(a.lhs_batch), list_text(a.rhs_batch), list_text(a.lhs_contract), list_text(a.rhs_contract), p, p);
}

// Rows are the ragged axis; without a group axis on the right they are summed over and each group gives a matrix.
std::string ragged_dot_text(const DotAttrs& a) {
  std::string_view p = precision_name(a.precision);
  return fmt::format(
      "ragged_dot_dimension_numbers = #chlo.ragged_dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], "
      "lhs_contracting_dimensions = {}, rhs_contracting_dimensions = {}, lhs_ragged_dimensions = [0], "
      "rhs_group_dimensions = {}>, precision_config = [#chlo<precision {}>, #chlo<precision {}>]",
      list_text(a.lhs_contract), list_text(a.rhs_contract), a.lhs_contract[0] == 0 ? "[]" : "[0]", p, p);
}

}  // namespace

std::string compare_text(const CompareAttrs& a) {
  constexpr std::string_view kDirection[] = {"EQ", "NE", "LT", "LE", "GT", "GE"};
  return fmt::format("comparison_direction = #stablehlo<comparison_direction {}>", kDirection[a.direction]);
}

std::string call_text(const CallAttrs& call, size_t results, int64_t channel) {
  std::string config;
  for (const auto& [key, value] : call.config)
    config += fmt::format("{}{} = {}", config.empty() ? "" : ", ", key, value);
  if (call.collective) config += fmt::format("{}channel_id = {} : i64", config.empty() ? "" : ", ", channel);
  std::string aliases;
  for (auto [result, operand] : call.aliases) {
    aliases += fmt::format(
        "{}#stablehlo.output_operand_alias<output_tuple_indices = [{}], operand_index = {}, operand_tuple_indices = "
        "[]>",
        aliases.empty() ? "" : ", ", results > 1 ? std::to_string(result) : "", operand);
  }
  std::string out =
      fmt::format("call_target_name = \"{}\", api_version = 4 : i32, backend_config = {{{}}}", call.target, config);
  if (!aliases.empty()) out += fmt::format(", output_operand_aliases = [{}]", aliases);
  return out;
}

namespace {

// "[dense<[1, 0]> : tensor<2xindex>, ...]": row by row, the last axis fastest.
template <class Items, class TypeOf>
std::string rows_text(const Items& items, TypeOf type_of) {
  std::vector<std::string> out;
  for (const auto& item : items) {
    std::vector<int> minor_to_major;
    for (int i = type_of(item).shape.rank(); i-- > 0;) minor_to_major.push_back(i);
    const std::string order = minor_to_major.empty() ? "" : fmt::format("[{}]", fmt::join(minor_to_major, ", "));
    out.push_back(fmt::format("dense<{}> : tensor<{}xindex>", order, minor_to_major.size()));
  }
  return fmt::format("[{}]", fmt::join(out, ", "));
}

// A kernel reads and writes its arrays row by row. Without a word XLA may choose another order of a result's axes, for
// a gather behind it, say. (With it XLA copies an operand whose memory a result takes; such a result has the order of
// the operand's anyway.)
std::string layouts_text(const Node& node) {
  if (!node.attr<CallAttrs>().aliases.empty()) return "";
  return fmt::format(", operand_layouts = {}, result_layouts = {}",
                     rows_text(node.operands, [](const Value& v) { return v.type(); }),
                     rows_text(node.results, [](const TensorType& t) { return t; }));
}

std::string placement_text(const CallAttrs& call) {
  const auto& [key, memory] = call.config.at(0);
  return fmt::format("call_target_name = \"{}\", has_side_effect = true, mhlo.frontend_attributes = {{{} = {}}}",
                     call.target, key, memory);
}

}  // namespace

std::string type_text(const TensorType& type) {
  std::string out = "tensor<";
  for (const Axis& a : type.shape) out += std::to_string(a.size) + "x";
  out += mlir_name(type.dtype);
  return out + ">";
}

std::string array_text(const std::vector<int64_t>& xs) {
  return xs.empty() ? "array<i64>" : fmt::format("array<i64: {}>", fmt::join(xs, ", "));
}

std::string number_text(double value, DType dtype) {
  if (dtype == DType::kBool) return value != 0 ? "true" : "false";
  if (!is_float(dtype)) {
    return value < 0 ? std::to_string(static_cast<int64_t>(value)) : std::to_string(static_cast<uint64_t>(value));
  }
  if (!std::isfinite(dtype == DType::kF64 ? value : static_cast<double>(static_cast<float>(value)))) {
    return not_finite_text(value, dtype);
  }
  std::string text = dtype == DType::kF64 ? fmt::format("{}", value) : fmt::format("{}", static_cast<float>(value));
  if (text.find('.') == std::string::npos) {  // MLIR wants a point: 1e-06 is 1.0e-06
    size_t e = text.find('e');
    text.insert(e == std::string::npos ? text.size() : e, ".0");
  }
  return text;
}

std::string sharding_text(const Sharding& sharding, int rank) {
  return "#sdy.sharding" + bare_sharding_text(sharding, rank);
}

std::string bare_sharding_text(const Sharding& sharding, int rank) {
  std::string dims;
  for (int i = 0; i < rank; ++i) {
    std::string axes;
    if (i < static_cast<int>(sharding.dims.size())) {
      for (const std::string& a : sharding.dims[static_cast<size_t>(i)]) {
        axes += fmt::format("{}\"{}\"", axes.empty() ? "" : ", ", a);
      }
    }
    dims += fmt::format("{}{{{}}}", i == 0 ? "" : ", ", axes);
  }
  return fmt::format("<@mesh, [{}]>", dims);
}

std::string collective_text(const Node& node, const Mesh& mesh, int64_t channel) {
  const CollectiveAttrs& a = node.attr<CollectiveAttrs>();
  if (node.op == Op::kRingShift) {
    return fmt::format("channel_handle = #stablehlo.channel_handle<handle = {}, type = 1>, source_target_pairs = {}",
                       channel, ring_pairs_text(mesh, a.mesh_axes));
  }
  std::string common =
      fmt::format("channel_handle = #stablehlo.channel_handle<handle = {}, type = 1>, replica_groups = {}", channel,
                  replica_groups_text(mesh, a.mesh_axes));
  switch (node.op) {
    case Op::kAllGather:
      return fmt::format("all_gather_dim = {} : i64, {}, use_global_device_ids", a.axis, common);
    case Op::kReduceScatter:
      return fmt::format("scatter_dimension = {} : i64, {}, use_global_device_ids", a.axis, common);
    case Op::kAllToAll:
      return fmt::format("split_dimension = {} : i64, concat_dimension = {} : i64, split_count = {} : i64, {}", a.axis,
                         a.concat_axis, a.group, common);
    default:
      return common + ", use_global_device_ids";
  }
}

std::string attribute_text(const Node& node) {
  switch (node.op) {
    case Op::kConstant:
      return fmt::format("value = dense<{}> : {}", number_text(node.attr<ConstantAttrs>().value, node.results[0].dtype),
                         type_text(node.results[0]));
    case Op::kIota:
      return fmt::format("iota_dimension = {} : i64", node.attr<IotaAttrs>().axis);
    case Op::kCompare:
      return compare_text(node.attr<CompareAttrs>());
    case Op::kBroadcast:
      return "broadcast_dimensions = " + array_text(node.attr<DimsAttrs>().dims);
    case Op::kTranspose:
      return "permutation = " + array_text(node.attr<DimsAttrs>().dims);
    case Op::kReduceSum:
    case Op::kReduceMax:
    case Op::kReduceMin:
    case Op::kReduceOr:
      return "dimensions = " + array_text(node.attr<DimsAttrs>().dims);
    case Op::kConcatenate:
      return fmt::format("dimension = {} : i64", node.attr<AxisAttrs>().axis);
    case Op::kSlice: {
      const SliceAttrs& a = node.attr<SliceAttrs>();
      return fmt::format("start_indices = {}, limit_indices = {}, strides = {}", array_text(a.starts),
                         array_text(a.limits), array_text(a.strides));
    }
    case Op::kPad: {
      const PadAttrs& a = node.attr<PadAttrs>();
      return fmt::format("edge_padding_low = {}, edge_padding_high = {}, interior_padding = {}", array_text(a.low),
                         array_text(a.high), array_text(a.interior));
    }
    case Op::kDynamicSlice:
      return "slice_sizes = " + array_text(node.results[0].shape.sizes());
    case Op::kDot:
      return dot_text(node.attr<DotAttrs>());
    case Op::kRaggedDot:
      return ragged_dot_text(node.attr<DotAttrs>());
    case Op::kGather:
      return gather_text(node);
    case Op::kScatterAdd:
      return scatter_text(node);
    case Op::kSort:
      return fmt::format("dimension = {} : i64, is_stable = true", node.attr<SortAttrs>().axis);
    case Op::kTopK:
      return fmt::format("k = {} : i64", node.attr<AxisAttrs>().count);
    case Op::kShard:
      return "sharding = " + sharding_text(node.attr<ShardAttrs>().sharding, node.results[0].shape.rank());
    case Op::kCustomCall:
      if (node.attr<CallAttrs>().target == kPlacementCall) return placement_text(node.attr<CallAttrs>());
      return call_text(node.attr<CallAttrs>(), node.results.size()) + layouts_text(node);
    default:
      return "";
  }
}

}  // namespace fathom
