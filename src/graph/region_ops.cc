#include "graph/region_ops.h"

#include <unordered_map>

#include "graph/fused_op.h"
#include "graph/ops/build.h"

namespace fathom {
namespace {

TensorType scalar(DType dtype) { return {dtype, {}}; }

// `type` without its first axis, which must be the scan's.
TensorType slice_type(const Value& stack, const ScanOptions& options, std::span<const Value> all, Where w) {
  const Shape& shape = stack.shape();
  if (shape.rank() == 0 || shape[0].name != options.axis || shape[0].size != options.length) {
    graph_error(Op::kScan, all,
                fmt::format("scanned over axis '{}' of length {}, but a stack is {}", options.axis, options.length,
                            stack.type().to_string()),
                w);
  }
  return {stack.dtype(), Shape(std::vector<Axis>(shape.begin() + 1, shape.end()))};
}

TensorType stack_type(const Value& part, const ScanOptions& options, Where w) {
  if (part.has(options.axis)) {
    graph_error(Op::kScan, std::span(&part, 1), fmt::format("a stacked result already has an axis '{}'", options.axis),
                w);
  }
  std::vector<Axis> axes{{options.axis, options.length}};
  axes.insert(axes.end(), part.shape().begin(), part.shape().end());
  return {part.dtype(), Shape(std::move(axes))};
}

void check_carry(const std::vector<Value>& init, const std::vector<Value>& next, Op op, Where w) {
  if (init.size() != next.size()) {
    graph_error(op, init, fmt::format("{} values are carried in, {} out", init.size(), next.size()), w);
  }
  for (size_t i = 0; i < init.size(); ++i) {
    if (init[i].type() != next[i].type()) {
      graph_error(op, init,
                  fmt::format("carried value {} goes in as {} and comes out as {}", i, init[i].type().to_string(),
                              next[i].type().to_string()),
                  w);
    }
  }
}

}  // namespace

std::vector<Value> close_over(Region& region) {
  std::unordered_map<Value, Value, ValueHash> inside;
  std::vector<Value> captures;
  auto enter = [&](Value& v) {
    if (&v.region() == &region) return;
    auto [it, fresh] = inside.try_emplace(v);
    if (fresh) {
      it->second = region.add_arg(v.type(), "capture", v.node().where);
      captures.push_back(v);
    }
    v = it->second;
  };
  // Nested bodies are closed already: what they need stands among their node's operands.
  for (Node* node : region.nodes()) {
    for (Value& v : node->operands) enter(v);
  }
  for (Value& v : region.results) enter(v);
  return captures;
}

ScanResult scan(Graph& g, const ScanOptions& options, std::vector<Value> init, std::vector<Value> stacks,
                const std::function<ScanBody(Value, std::span<const Value>, std::span<const Value>)>& body, Where w) {
  auto region = std::make_unique<Region>(g, nullptr, &g.insertion());
  Value index = region->add_arg(scalar(DType::kS32), "index", w);
  std::vector<Value> carry;
  std::vector<Value> slices;
  for (const Value& v : init) carry.push_back(region->add_arg(v.type(), "carry", w));
  for (const Value& v : stacks) slices.push_back(region->add_arg(slice_type(v, options, stacks, w), "slice", w));
  ScanBody out;
  {
    Insertion inside(*region);
    out = body(index, carry, slices);
  }
  check_carry(init, out.carry, Op::kScan, w);
  std::vector<TensorType> types = types_of(init);
  for (const Value& v : out.stack) types.push_back(stack_type(v, options, w));
  region->results = out.carry;
  region->results.insert(region->results.end(), out.stack.begin(), out.stack.end());

  ScanAttrs attrs{.axis = options.axis,
                  .length = options.length,
                  .carries = static_cast<int>(init.size()),
                  .stacks = static_cast<int>(stacks.size()),
                  .reverse = options.reverse};
  std::vector<Value> operands = std::move(init);
  operands.insert(operands.end(), stacks.begin(), stacks.end());
  std::vector<Value> captures = close_over(*region);
  operands.insert(operands.end(), captures.begin(), captures.end());
  Node& node = g.make_typed(Op::kScan, std::move(operands), std::move(types), attrs, w);
  region->set_owner(&node);
  node.regions.push_back(std::move(region));

  std::vector<Value> all = results_of(node);
  auto middle = all.begin() + attrs.carries;
  return {{all.begin(), middle}, {middle, all.end()}};
}

std::vector<Value> while_loop(Graph& g, std::vector<Value> init,
                              const std::function<Value(std::span<const Value>)>& condition,
                              const std::function<std::vector<Value>(std::span<const Value>)>& body, Where w) {
  auto make_region = [&](auto fill) {
    auto region = std::make_unique<Region>(g, nullptr, &g.insertion());
    std::vector<Value> state;
    for (const Value& v : init) state.push_back(region->add_arg(v.type(), "state", w));
    Insertion inside(*region);
    region->results = fill(state);
    return region;
  };
  auto test = make_region([&](std::span<const Value> s) { return std::vector<Value>{condition(s)}; });
  auto step = make_region([&](std::span<const Value> s) { return body(s); });
  if (test->results[0].type() != scalar(DType::kBool)) {
    graph_error(Op::kWhile, test->results, "the condition must be one bool", w);
  }
  check_carry(init, step->results, Op::kWhile, w);
  // Both bodies take the same operands: the state, then everything that either captures.
  std::vector<Value> from_test = close_over(*test);
  std::vector<Value> from_step = close_over(*step);
  size_t states = init.size();
  std::vector<Value> operands = std::move(init);
  operands.insert(operands.end(), from_test.begin(), from_test.end());
  operands.insert(operands.end(), from_step.begin(), from_step.end());
  std::vector<TensorType> types = types_of(std::span(operands).first(states));
  Node& node = g.make_typed(Op::kWhile, std::move(operands), std::move(types),
                            DimsAttrs{{static_cast<int64_t>(states), static_cast<int64_t>(from_test.size())}}, w);
  for (auto* region : {&test, &step}) {
    (*region)->set_owner(&node);
    node.regions.push_back(std::move(*region));
  }
  return results_of(node);
}

std::vector<Value> remat(Graph& g, const std::set<std::string>& saved, const std::function<std::vector<Value>()>& body,
                         Where w) {
  auto region = std::make_unique<Region>(g, nullptr, &g.insertion());
  {
    Insertion inside(*region);
    region->results = body();
  }
  std::vector<TensorType> types = types_of(region->results);
  std::vector<Value> captures = close_over(*region);
  Node& node =
      g.make_typed(Op::kRemat, std::move(captures), std::move(types), RematAttrs{{saved.begin(), saved.end()}}, w);
  region->set_owner(&node);
  node.regions.push_back(std::move(region));
  return results_of(node);
}

std::vector<Value> fused(Graph& g, const FusedOp& op, std::vector<Value> operands, FusedAttrs attrs,
                         std::source_location where) {
  attrs.op = &op;
  Attrs any = attrs;
  InferContext context{Op::kFused, operands, any, g.scope(), where};
  std::vector<TensorType> types = op.infer(context);
  return results_of(g.make_typed(Op::kFused, std::move(operands), std::move(types), std::move(any), where));
}

}  // namespace fathom
