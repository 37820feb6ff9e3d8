// The ops with bodies: while, manual regions, and scan as a counted while.
#include <fmt/format.h>

#include <algorithm>

#include "graph/emit/printer.h"
#include "graph/emit/spelling.h"
#include "graph/ops/build.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

const TensorType kIndex{DType::kS32, {}};
const TensorType kFlag{DType::kBool, {}};

}  // namespace

// Every state and capture is an operand of the loop; the captures come out as they went in.
void Printer::print_while(Node& node) {
  size_t states = static_cast<size_t>(node.attr<DimsAttrs>().dims[0]);
  size_t from_condition = static_cast<size_t>(node.attr<DimsAttrs>().dims[1]);
  std::vector<TensorType> types = types_of(node.operands);
  auto enter = [&](const Region& region, const std::vector<std::string>& args, size_t captures_at) {
    for (size_t i = 0; i < region.args().size(); ++i) {
      names_[region.args()[i]] = args[i < states ? i : captures_at + (i - states)];
    }
    print_nodes(region);
  };
  std::string regions = capture([&] {
    text_ += "{\n";
    std::vector<std::string> args = open_block(types);
    enter(*node.regions[0], args, states);
    print_return(names(node.regions[0]->results), {kFlag});
    text_ += "}, {\n";
    args = open_block(types);
    enter(*node.regions[1], args, states + from_condition);
    std::vector<std::string> next = names(node.regions[1]->results);
    next.insert(next.end(), args.begin() + static_cast<std::ptrdiff_t>(states), args.end());
    print_return(next, types);
    text_ += '}';
  });
  std::vector<std::string> results = print({.op = "stablehlo.while",
                                            .operands = names(node.operands),
                                            .operand_types = types,
                                            .results = types,
                                            .regions = regions,
                                            .scope = &node.scope});
  for (size_t i = 0; i < states; ++i) names_[node.result(static_cast<int>(i))] = results[i];
}

// The body runs on every device with its own parts; all axes of the mesh are manual.
void Printer::print_manual(Node& node) {
  const ManualAttrs& attrs = node.attr<ManualAttrs>();
  auto shardings = [](const std::vector<Sharding>& all, const std::vector<TensorType>& types) {
    std::string out;
    for (size_t i = 0; i < all.size(); ++i) {
      out += (i == 0 ? "" : ", ") + bare_sharding_text(all[i], types[i].shape.rank());
    }
    return fmt::format("#sdy.sharding_per_value<[{}]>", out);
  };
  const Region& body = *node.regions[0];
  std::string axes;
  for (const Axis& a : mesh_.axes) axes += fmt::format("{}\"{}\"", axes.empty() ? "" : ", ", a.name);
  std::string region = capture([&] {
    text_ += "{\n";
    std::vector<std::string> args = open_block(types_of(body.args()));
    for (size_t i = 0; i < args.size(); ++i) names_[body.args()[i]] = args[i];
    in_manual_ = true;
    print_nodes(body);
    in_manual_ = false;
    print({.op = "sdy.return", .operands = names(body.results), .operand_types = types_of(body.results)});
    text_ += '}';
  });
  std::vector<std::string> results =
      print({.op = fathom::name(node.op),
             .operands = names(node.operands),
             .operand_types = types_of(node.operands),
             .results = node.results,
             .attributes =
                 fmt::format("in_shardings = {}, out_shardings = {}, manual_axes = #sdy<manual_axes{{{}}}>",
                             shardings(attrs.in, types_of(node.operands)), shardings(attrs.out, node.results), axes),
             .regions = region,
             .scope = &node.scope});
  for (size_t i = 0; i < results.size(); ++i) names_[node.result(static_cast<int>(i))] = results[i];
}

// What a scan's stack is before the first slice is written, say. Where the target can, memory is taken as it is, for
// XLA:CPU fills zeros one by one and copies them for each further array of the type. (Over a mesh the partitioner would
// make such a call whole on every device.)
std::string Printer::print_empty(const TensorType& type, const std::string& scope) {
  constexpr int64_t kWorthACall = 1 << 16;  // bytes; filling fewer costs less than the call's few microseconds
  const bool partitioned = mesh_.devices() > 1 && !in_manual_;
  if (partitioned || type.bytes() < kWorthACall || !target_.has(abi::kUninitialized)) return constant(0, type, scope);
  CallAttrs call{.target = std::string(abi::kUninitialized),
                 .config = {{std::string(abi::kSlot), fmt::format("{} : i64", next_)}}};
  return print(
      {.op = "stablehlo.custom_call", .results = {type}, .attributes = call_text(call, 1), .scope = &scope})[0];
}

// A scan is a while over (counter, carries, stacked results, invariants). Invariants are the stacks scanned over and
// the captures; a value that is both is passed once.
void Printer::print_scan(Node& node) {
  const ScanAttrs& attrs = node.attr<ScanAttrs>();
  std::vector<std::string> operands{constant(0, kIndex, node.scope)};
  std::vector<TensorType> types{kIndex};
  for (int i = 0; i < attrs.carries; ++i) {
    operands.push_back(names_.at(node.operands[static_cast<size_t>(i)]));
    types.push_back(node.operands[static_cast<size_t>(i)].type());
  }
  for (size_t i = static_cast<size_t>(attrs.carries); i < node.results.size(); ++i) {
    operands.push_back(print_empty(node.results[i], node.scope));
    types.push_back(node.results[i]);
  }
  std::vector<Value> invariants;
  for (size_t i = static_cast<size_t>(attrs.carries); i < node.operands.size(); ++i) {
    if (std::find(invariants.begin(), invariants.end(), node.operands[i]) != invariants.end()) continue;
    invariants.push_back(node.operands[i]);
    operands.push_back(names_.at(node.operands[i]));
    types.push_back(node.operands[i].type());
  }
  std::string regions = capture([&] {
    print_scan_condition(node, types);
    text_ += ", ";
    print_scan_body(node, types, invariants);
  });
  std::vector<std::string> results = print({.op = "stablehlo.while",
                                            .operands = operands,
                                            .operand_types = types,
                                            .results = types,
                                            .regions = regions,
                                            .scope = &node.scope});
  for (size_t i = 0; i < node.results.size(); ++i) names_[node.result(static_cast<int>(i))] = results[i + 1];
}

void Printer::print_scan_condition(Node& node, const std::vector<TensorType>& types) {
  text_ += "{\n";
  std::vector<std::string> args = open_block(types);
  std::string length = constant(static_cast<double>(node.attr<ScanAttrs>().length), kIndex, node.scope);
  std::string more = print({.op = "stablehlo.compare",
                            .operands = {args[0], length},
                            .operand_types = {kIndex, kIndex},
                            .results = {kFlag},
                            .attributes = compare_text({CompareAttrs::kLt}),
                            .scope = &node.scope})[0];
  print_return({more}, {kFlag});
  text_ += '}';
}

namespace {

// A stack of one layer.
TensorType one_layer(const TensorType& whole) {
  std::vector<Axis> axes(whole.shape.begin(), whole.shape.end());
  axes[0].size = 1;
  return {whole.dtype, Shape(axes)};
}

}  // namespace

std::vector<std::string> Printer::LayerPlace::start(int rank) const {
  std::vector<std::string> at(static_cast<size_t>(rank), zero);
  at[0] = index;
  return at;
}

std::string Printer::print_layer(const std::string& stack, const TensorType& whole, const TensorType& layer,
                                 const LayerPlace& place, const std::string& scope) {
  const TensorType part = one_layer(whole);
  std::vector<std::string> operands = place.start(whole.shape.rank());
  operands.insert(operands.begin(), stack);
  std::vector<TensorType> operand_types(operands.size(), kIndex);
  operand_types[0] = whole;
  std::string slice = print({.op = "stablehlo.dynamic_slice",
                             .operands = operands,
                             .operand_types = operand_types,
                             .results = {part},
                             .attributes = "slice_sizes = " + array_text(part.shape.sizes()),
                             .scope = &scope})[0];
  return unary("stablehlo.reshape", slice, part, layer, scope);
}

std::string Printer::print_layer_update(const std::string& stack, const TensorType& whole, Value layer,
                                        const LayerPlace& place, const std::string& scope) {
  const TensorType part = one_layer(whole);
  std::string update = unary("stablehlo.reshape", names_.at(layer), layer.type(), part, scope);
  std::vector<std::string> operands = place.start(whole.shape.rank());
  operands.insert(operands.begin(), {stack, update});
  std::vector<TensorType> operand_types(operands.size(), kIndex);
  operand_types[0] = whole;
  operand_types[1] = part;
  return print({.op = "stablehlo.dynamic_update_slice",
                .operands = operands,
                .operand_types = operand_types,
                .results = {whole},
                .scope = &scope})[0];
}

void Printer::print_scan_body(Node& node, const std::vector<TensorType>& types, const std::vector<Value>& invariants) {
  const ScanAttrs& attrs = node.attr<ScanAttrs>();
  const Region& body = *node.regions[0];
  size_t carries = static_cast<size_t>(attrs.carries);
  text_ += "{\n";
  std::vector<std::string> args = open_block(types);
  std::unordered_map<Value, std::string, ValueHash> inside;
  for (size_t i = 0; i < invariants.size(); ++i) inside[invariants[i]] = args[1 + node.results.size() + i];

  LayerPlace place{.index = args[0], .zero = ""};
  if (attrs.reverse) {
    std::string last = constant(static_cast<double>(attrs.length - 1), kIndex, node.scope);
    place.index = binary("stablehlo.subtract", last, args[0], kIndex, node.scope);
  }
  place.zero = constant(0, kIndex, node.scope);
  names_[body.args()[0]] = place.index;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    Value arg = body.args()[i + 1];
    if (i < carries) {
      names_[arg] = args[i + 1];
    } else if (i >= carries + static_cast<size_t>(attrs.stacks)) {
      names_[arg] = inside.at(node.operands[i]);
    } else if (live_.live(arg)) {  // a slice that only a kernel reads through its stack is not made
      names_[arg] = print_layer(inside.at(node.operands[i]), node.operands[i].type(), arg.type(), place, node.scope);
    }
  }
  print_nodes(body);

  std::vector<std::string> next{binary("stablehlo.add", args[0], constant(1, kIndex, node.scope), kIndex, node.scope)};
  for (size_t i = 0; i < node.results.size(); ++i) {
    const Value& result = body.results[i];
    next.push_back(i < carries ? names_.at(result)
                               : print_layer_update(args[i + 1], node.results[i], result, place, node.scope));
  }
  next.insert(next.end(), args.begin() + 1 + static_cast<std::ptrdiff_t>(node.results.size()), args.end());
  print_return(next, types);
  text_ += '}';
}

}  // namespace fathom
