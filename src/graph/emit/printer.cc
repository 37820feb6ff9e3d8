#include "graph/emit/printer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "graph/emit/spelling.h"
#include "graph/ops/build.h"

namespace fathom {
namespace {

std::string types_text(const std::vector<TensorType>& types) {
  std::string out;
  for (const TensorType& t : types) out += (out.empty() ? "" : ", ") + type_text(t);
  return out;
}

double lowest(DType dtype) {
  if (is_float(dtype)) return -std::numeric_limits<double>::infinity();
  switch (dtype) {
    case DType::kS8:
      return -128;
    case DType::kS16:
      return -32768;
    case DType::kS32:
      return std::numeric_limits<int32_t>::min();
    case DType::kS64:
      return static_cast<double>(std::numeric_limits<int64_t>::min());
    default:
      return 0;
  }
}

double highest(DType dtype) {
  if (is_float(dtype)) return std::numeric_limits<double>::infinity();
  switch (dtype) {
    case DType::kS8:
      return 127;
    case DType::kS16:
      return 32767;
    case DType::kS32:
      return std::numeric_limits<int32_t>::max();
    case DType::kU8:
      return 255;
    case DType::kU16:
      return 65535;
    case DType::kU32:
      return std::numeric_limits<uint32_t>::max();
    // The largest double below 2^63 and 2^64: no element is above it but by less than its spacing.
    case DType::kS64:
      return 9223372036854774784.0;
    default:
      return 18446744073709549568.0;
  }
}

struct Reduction {
  std::string_view combine;
  double start;
};

Reduction reduction(Op op, DType dtype) {
  switch (op) {
    case Op::kReduceMax:
      return {"stablehlo.maximum", lowest(dtype)};
    case Op::kReduceMin:
      return {"stablehlo.minimum", highest(dtype)};
    case Op::kReduceOr:
      return {"stablehlo.or", 0};
    default:
      return {"stablehlo.add", 0};
  }
}

const TensorType kFlag{DType::kBool, {}};

}  // namespace

std::string Printer::location(const std::string& scope) {
  auto [it, fresh] = locations_.try_emplace(scope, static_cast<int>(location_order_.size()));
  if (fresh) location_order_.push_back(scope);
  return fmt::format(" loc(#loc{})", it->second);
}

std::string Printer::locations() const {
  std::string out;
  for (size_t i = 0; i < location_order_.size(); ++i) {
    out += fmt::format("#loc{} = loc(\"{}\")\n", i, location_order_[i].empty() ? "program" : location_order_[i]);
  }
  return out;
}

std::vector<std::string> Printer::names(const std::vector<Value>& values) const {
  std::vector<std::string> out;
  for (const Value& v : values) out.push_back(names_.at(v));
  return out;
}

std::vector<std::string> Printer::print(const Line& line) {
  int id = next_++;
  std::vector<std::string> out;
  size_t count = line.results.size();
  for (size_t i = 0; i < count; ++i) out.push_back(count == 1 ? fmt::format("%{}", id) : fmt::format("%{}#{}", id, i));
  if (count == 1) fmt::format_to(std::back_inserter(text_), "%{} = ", id);
  if (count > 1) fmt::format_to(std::back_inserter(text_), "%{}:{} = ", id, count);
  fmt::format_to(std::back_inserter(text_), "\"{}\"({})", line.op, fmt::join(line.operands, ", "));
  if (!line.regions.empty()) text_ += " (" + line.regions + ")";
  if (!line.attributes.empty()) text_ += " {" + line.attributes + "}";
  std::string results = types_text(line.results);
  text_ += " : (" + types_text(line.operand_types) + ") -> " + (count == 1 ? results : "(" + results + ")");
  if (line.scope != nullptr) text_ += location(*line.scope);
  text_ += '\n';
  return out;
}

std::string Printer::constant(double value, const TensorType& type, const std::string& scope) {
  return print({.op = "stablehlo.constant",
                .results = {type},
                .attributes = fmt::format("value = dense<{}> : {}", number_text(value, type.dtype), type_text(type)),
                .scope = &scope})[0];
}

std::string Printer::unary(std::string_view op, const std::string& x, const TensorType& from, const TensorType& to,
                           const std::string& scope, std::string attributes) {
  return print({.op = op,
                .operands = {x},
                .operand_types = {from},
                .results = {to},
                .attributes = std::move(attributes),
                .scope = &scope})[0];
}

std::string Printer::binary(std::string_view op, const std::string& a, const std::string& b, const TensorType& type,
                            const std::string& scope) {
  return print({.op = op, .operands = {a, b}, .operand_types = {type, type}, .results = {type}, .scope = &scope})[0];
}

void Printer::print_return(const std::vector<std::string>& values, const std::vector<TensorType>& types) {
  print({.op = "stablehlo.return", .operands = values, .operand_types = types});
}

std::vector<std::string> Printer::open_block(const std::vector<TensorType>& types) {
  std::vector<std::string> args;
  text_ += "^bb0(";
  for (size_t i = 0; i < types.size(); ++i) {
    args.push_back(fmt::format("%{}", next_++));
    text_ += fmt::format("{}{}: {}", i == 0 ? "" : ", ", args.back(), type_text(types[i]));
  }
  text_ += "):\n";
  return args;
}

void Printer::print_nodes(const Region& region) {
  for (Node* node : region.nodes()) {
    if (live_.live(*node)) print_node(*node);
  }
}

void Printer::print_node(Node& node) {
  switch (node.op) {
    case Op::kEmpty:
      names_[node.result()] = print_empty(node.results[0], node.scope);
      return;
    case Op::kRename:
      names_[node.result()] = names_.at(node.operands[0]);
      return;
    case Op::kShard:
      if (mesh_.devices() == 1) {
        names_[node.result()] = names_.at(node.operands[0]);
        return;
      }
      break;
    case Op::kReduceSum:
    case Op::kReduceMax:
    case Op::kReduceMin:
    case Op::kReduceOr:
      return print_reduce(node);
    case Op::kSplit:
      return print_split(node);
    case Op::kScatterAdd:
      return print_scatter(node);
    case Op::kSort:
      return print_sort(node);
    case Op::kWhile:
      return print_while(node);
    case Op::kScan:
      return print_scan(node);
    case Op::kManual:
      return print_manual(node);
    case Op::kAllGather:
    case Op::kAllReduce:
    case Op::kReduceScatter:
    case Op::kAllToAll:
    case Op::kRingShift:
      return print_collective(node);
    case Op::kFused:
    case Op::kTag:
    case Op::kRemat:
    case Op::kStopGradient:
      throw GraphError(fmt::format("{}: a graph must be lowered before it is printed", fathom::name(node.op)));
    default:
      break;
  }
  const auto* call = node.op == Op::kCustomCall ? &node.attr<CallAttrs>() : nullptr;
  const bool meets = call != nullptr && call->collective;
  std::vector<std::string> results =
      print({.op = fathom::name(node.op),
             .operands = names(node.operands),
             .operand_types = types_of(node.operands),
             .results = node.results,
             .attributes = meets ? call_text(*call, node.results.size(), ++channels_) : attribute_text(node),
             .scope = &node.scope});
  for (size_t i = 0; i < results.size(); ++i) names_[node.result(static_cast<int>(i))] = results[i];
}

void Printer::print_reduce(Node& node) {
  TensorType element{node.results[0].dtype, {}};
  Reduction r = reduction(node.op, element.dtype);
  std::string start = constant(r.start, element, node.scope);
  std::string body = capture([&] {
    text_ += "{\n";
    std::vector<std::string> args = open_block({element, element});
    print_return({binary(r.combine, args[0], args[1], element, node.scope)}, {element});
    text_ += '}';
  });
  names_[node.result()] = print({.op = "stablehlo.reduce",
                                 .operands = {names_.at(node.operands[0]), start},
                                 .operand_types = {node.operands[0].type(), element},
                                 .results = node.results,
                                 .attributes = attribute_text(node),
                                 .regions = body,
                                 .scope = &node.scope})[0];
}

void Printer::print_collective(Node& node) {
  std::string body;
  if (node.op == Op::kAllReduce || node.op == Op::kReduceScatter) {
    TensorType element{node.results[0].dtype, {}};
    body = capture([&] {
      text_ += "{\n";
      std::vector<std::string> args = open_block({element, element});
      print_return({binary("stablehlo.add", args[0], args[1], element, node.scope)}, {element});
      text_ += '}';
    });
  }
  names_[node.result()] = print({.op = fathom::name(node.op),
                                 .operands = names(node.operands),
                                 .operand_types = types_of(node.operands),
                                 .results = node.results,
                                 .attributes = collective_text(node, mesh_, ++channels_),
                                 .regions = body,
                                 .scope = &node.scope})[0];
}

void Printer::print_scatter(Node& node) {
  TensorType element{node.results[0].dtype, {}};
  std::string body = capture([&] {
    text_ += "{\n";
    std::vector<std::string> args = open_block({element, element});
    print_return({binary("stablehlo.add", args[0], args[1], element, node.scope)}, {element});
    text_ += '}';
  });
  names_[node.result()] = print({.op = "stablehlo.scatter",
                                 .operands = names(node.operands),
                                 .operand_types = types_of(node.operands),
                                 .results = node.results,
                                 .attributes = attribute_text(node),
                                 .regions = body,
                                 .scope = &node.scope})[0];
}

// The parts that are needed, each as a slice.
void Printer::print_split(Node& node) {
  const SplitAttrs& a = node.attr<SplitAttrs>();
  const TensorType& whole = node.operands[0].type();
  std::vector<int64_t> starts(static_cast<size_t>(whole.shape.rank()), 0);
  std::vector<int64_t> limits = whole.shape.sizes();
  const std::vector<int64_t> strides(starts.size(), 1);
  int64_t& start = starts[static_cast<size_t>(a.axis)];
  for (size_t i = 0; i < a.sizes.size(); ++i) {
    limits[static_cast<size_t>(a.axis)] = start + a.sizes[i];
    Value part = node.result(static_cast<int>(i));
    if (live_.live(part)) {
      names_[part] = unary("stablehlo.slice", names_.at(node.operands[0]), whole, part.type(), node.scope,
                           fmt::format("start_indices = {}, limit_indices = {}, strides = {}", array_text(starts),
                                       array_text(limits), array_text(strides)));
    }
    start += a.sizes[i];
  }
}

// Whether the first of two keys stands before the second. A NaN counts as larger than every number: without a place in
// the order it would leave that of the numbers undefined too.
std::string Printer::print_before(const std::string& a, const std::string& b, DType dtype, bool descending) {
  const TensorType type{dtype, {}};
  auto flag = [&](std::string_view op, const std::vector<std::string>& of, const TensorType& type_of,
                  std::string attributes) {
    return print({.op = op,
                  .operands = of,
                  .operand_types = {type_of, type_of},
                  .results = {kFlag},
                  .attributes = std::move(attributes)})[0];
  };
  auto compare = [&](CompareAttrs::Direction direction, const std::string& x, const std::string& y) {
    return flag("stablehlo.compare", {x, y}, type, compare_text({direction}));
  };
  const std::string ordered = compare(descending ? CompareAttrs::kGt : CompareAttrs::kLt, a, b);
  if (!is_float(dtype)) return ordered;
  const std::string number = compare(CompareAttrs::kEq, descending ? b : a, descending ? b : a);
  const std::string nan = compare(CompareAttrs::kNe, descending ? a : b, descending ? a : b);
  return flag("stablehlo.or", {ordered, flag("stablehlo.and", {number, nan}, kFlag, "")}, kFlag, "");
}

void Printer::print_sort(Node& node) {
  std::vector<TensorType> elements;
  for (const Value& v : node.operands) elements.insert(elements.end(), 2, TensorType{v.dtype(), {}});
  std::string body = capture([&] {
    text_ += "{\n";
    std::vector<std::string> args = open_block(elements);
    const std::string before = print_before(args[0], args[1], elements[0].dtype, node.attr<SortAttrs>().descending);
    print_return({before}, {kFlag});
    text_ += '}';
  });
  std::vector<std::string> results = print({.op = "stablehlo.sort",
                                            .operands = names(node.operands),
                                            .operand_types = types_of(node.operands),
                                            .results = node.results,
                                            .attributes = attribute_text(node),
                                            .regions = body,
                                            .scope = &node.scope});
  for (size_t i = 0; i < results.size(); ++i) names_[node.result(static_cast<int>(i))] = results[i];
}

}  // namespace fathom
