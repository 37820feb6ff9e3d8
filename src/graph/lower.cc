#include "graph/lower.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "graph/clone.h"
#include "graph/cpu_quirks.h"
#include "graph/liveness.h"
#include "graph/manual.h"
#include "graph/ops.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

class Lowering {
 public:
  Lowering(const Graph& from, Graph& to, const LowerOptions& options)
      : from_(from), to_(to), options_(options), live_(from.root().results) {}

  void run() {
    for (const Value& arg : from_.root().args()) {
      map_[arg] = to_.arg(arg.node().attr<ArgAttrs>().name, arg.type(), arg.node().where);
    }
    lower_nodes(from_.root());
    for (const Value& r : from_.root().results) to_.root().results.push_back(at(r));
  }

 private:
  class Context;

  Value at(Value v) const { return map_.at(v); }

  void lower_nodes(const Region& region) {
    for (Node* node : region.nodes()) {
      if (live_.live(*node)) lower_node(*node);
    }
  }

  void bind(Node& from, const std::vector<Value>& results) {
    for (size_t i = 0; i < results.size(); ++i) map_[from.result(static_cast<int>(i))] = results[i];
  }

  void lower_node(Node& node) {
    ScopePath scope(to_, node.scope);
    switch (node.op) {
      case Op::kTag:
      case Op::kSaved:
      case Op::kStopGradient:
        map_[node.result()] = at(node.operands[0]);
        return;
      case Op::kRemat:
        return open_remat(node);
      case Op::kScan:
        return lower_scan(node);
      case Op::kFused:
        return lower_fused(node);
      default:
        break;
    }
    std::vector<Value> operands = operands_of(node);
    if (options_.target.hardware == Hardware::kCpu) {
      if (Value v = cpu_form(node, operands)) {
        map_[node.result()] = v;
        return;
      }
    }
    if (node.regions.empty()) {
      Node& copy = copy_node(to_, node, std::move(operands));
      for (int i = 0; i < static_cast<int>(node.results.size()); ++i) map_[node.result(i)] = copy.result(i);
      return;
    }
    std::vector<std::unique_ptr<Region>> regions;
    manual_depth_ += node.op == Op::kManual ? 1 : 0;
    for (const auto& region : node.regions) regions.push_back(lower_region(*region));
    manual_depth_ -= node.op == Op::kManual ? 1 : 0;
    Node& copy = make_like(node, std::move(operands), node.results, node.attrs);
    adopt(copy, std::move(regions));
    for (int i = 0; i < static_cast<int>(node.results.size()); ++i) map_[node.result(i)] = copy.result(i);
  }

  std::vector<Value> operands_of(const Node& node) const {
    std::vector<Value> out;
    for (const Value& v : node.operands) out.push_back(at(v));
    return out;
  }

  Node& make_like(const Node& node, std::vector<Value> operands, std::vector<TensorType> results, Attrs attrs) {
    Node& made = to_.make_typed(node.op, std::move(operands), std::move(results), std::move(attrs), node.where);
    made.scope = node.scope;
    return made;
  }

  static void adopt(Node& node, std::vector<std::unique_ptr<Region>> regions) {
    for (auto& region : regions) region->set_owner(&node);
    node.regions = std::move(regions);
  }

  // A region all of whose arguments and results stay (while, manual).
  std::unique_ptr<Region> lower_region(const Region& from) {
    auto region = std::make_unique<Region>(to_, nullptr, &to_.insertion());
    for (const Value& arg : from.args()) map_[arg] = region->add_arg(arg.type(), arg.node().attr<ArgAttrs>().name);
    Insertion inside(*region);
    lower_nodes(from);
    for (const Value& r : from.results) {
      if (live_.live(r)) region->results.push_back(at(r));
    }
    return region;
  }

  void open_remat(Node& node) {
    const Region& body = *node.regions[0];
    for (size_t i = 0; i < body.args().size(); ++i) {
      if (live_.live(body.args()[i])) map_[body.args()[i]] = at(node.operands[i]);
    }
    lower_nodes(body);
    for (size_t i = 0; i < body.results.size(); ++i) {
      if (live_.live(body.results[i])) map_[node.result(static_cast<int>(i))] = at(body.results[i]);
    }
  }

  // Keeps the carried values, stacks and captures that are live.
  void lower_scan(Node& node) {
    ScanAttrs attrs = node.attr<ScanAttrs>();
    const Region& body = *node.regions[0];
    auto region = std::make_unique<Region>(to_, nullptr, &to_.insertion());
    map_[body.args()[0]] = region->add_arg(body.args()[0].type(), "index");
    std::vector<Value> operands;
    std::vector<TensorType> types;
    ScanAttrs kept = attrs;
    kept.carries = 0;
    kept.stacks = 0;
    for (int i = 0; i < static_cast<int>(node.operands.size()); ++i) {
      Value arg = body.args()[static_cast<size_t>(i) + 1];
      if (!live_.live(arg)) continue;
      operands.push_back(at(node.operands[static_cast<size_t>(i)]));
      map_[arg] = region->add_arg(arg.type(), arg.node().attr<ArgAttrs>().name);
      if (i < attrs.carries) {
        ++kept.carries;
        types.push_back(arg.type());
      } else if (i < attrs.carries + attrs.stacks) {
        ++kept.stacks;
        stacks_.emplace(map_[arg], StackRef{operands.back(), region->args()[0]});
      }
    }
    std::vector<std::pair<int, int>> places;  // which result of the node is which of the copy
    {
      Insertion inside(*region);
      lower_nodes(body);
      for (int i = 0; i < static_cast<int>(node.results.size()); ++i) {
        Value inner = body.results[static_cast<size_t>(i)];
        bool keep =
            i < attrs.carries ? live_.live(body.args()[static_cast<size_t>(i) + 1]) : live_.live(node.result(i));
        if (!keep) continue;
        // One stack serves an op's output and a node that only passes it on.
        auto& made = region->results;
        auto twin = i < attrs.carries ? made.end() : std::find(made.begin() + kept.carries, made.end(), at(inner));
        places.emplace_back(i, static_cast<int>(twin - made.begin()));
        if (twin != made.end()) continue;
        made.push_back(at(inner));
        if (i >= attrs.carries) types.push_back(node.results[static_cast<size_t>(i)]);
      }
    }
    // Kernels that read a stack in place use the outer value inside the body: those become captures.
    std::vector<Value> captured = close_over(*region);
    operands.insert(operands.end(), captured.begin(), captured.end());
    Node& copy = make_like(node, std::move(operands), std::move(types), kept);
    std::vector<std::unique_ptr<Region>> regions;
    regions.push_back(std::move(region));
    adopt(copy, std::move(regions));
    for (auto [result, place] : places) map_[node.result(result)] = copy.result(place);
  }

  void lower_fused(Node& node);
  bool lower_on_mesh(const Node& node);

  const Graph& from_;
  Graph& to_;
  const LowerOptions& options_;
  Liveness live_;
  ValueMap map_;
  std::unordered_map<Value, StackRef, ValueHash> stacks_;  // scan slices of the new graph
  int manual_depth_ = 0;
};

class Lowering::Context : public LoweringContext {
 public:
  Context(Lowering& lowering, const Node& node) : l_(lowering), node_(node), operands_(lowering.operands_of(node)) {}
  const Node& node() const override { return node_; }
  const std::vector<Value>& operands() const override { return operands_; }
  const Target& target() const override { return l_.options_.target; }
  Graph& graph() override { return l_.to_; }
  std::optional<StackRef> stack_of(int i) const override {
    Value v = operands_[static_cast<size_t>(i)];
    while (v.node().op == Op::kRename) v = v.node().operands[0];
    auto it = l_.stacks_.find(v);
    if (it == l_.stacks_.end()) return std::nullopt;
    return it->second;
  }

 private:
  Lowering& l_;
  const Node& node_;
  std::vector<Value> operands_;
};

// Several devices: the op's per-device form, whose inner ops the next pass lowers; else the reference, which the
// partitioner splits.
bool Lowering::lower_on_mesh(const Node& node) {
  if (to_.partition == nullptr || manual_depth_ > 0) return false;
  const FusedAttrs& attrs = node.attr<FusedAttrs>();
  std::optional<ShardedForm> form;
  if (attrs.op->shard != nullptr) form = attrs.op->shard(node, *to_.partition, options_.target);
  std::vector<Value> operands = operands_of(node);
  bind(const_cast<Node&>(node), form ? manual(to_, operands, form->in, form->out, form->body, node.where)
                                     : attrs.op->reference(operands, attrs, to_));
  return true;
}

void Lowering::lower_fused(Node& node) {
  const FusedAttrs& attrs = node.attr<FusedAttrs>();
  const FusedOp& op = *attrs.op;
  if (lower_on_mesh(node)) return;
  std::string reason = fmt::format("it has no kernel for {}", name(options_.target.hardware));
  if (FusedForm form = op.forms.of(options_.target.hardware)) {
    Context context(*this, node);
    std::vector<Value> results = form(context, reason);
    if (!results.empty()) return bind(node, results);
  }
  std::string message = fmt::format("{} takes its composed reference: {}", op.name, reason);
  if (options_.require_kernels) throw GraphError(message + "; kernels=require forbids it");
  log_once(LogLevel::kInfo, message);
  bind(node, op.reference(operands_of(node), attrs, to_));
}

}  // namespace

std::vector<Value> plain_ops(LoweringContext& context, std::string&) {
  const FusedAttrs& attrs = context.node().attr<FusedAttrs>();
  return attrs.op->reference(context.operands(), attrs, context.graph());
}

std::unique_ptr<Graph> lower(const Graph& graph, const LowerOptions& options) {
  auto pass = [&](const Graph& from) {
    auto to = std::make_unique<Graph>();
    to->precision = graph.precision;
    to->partition = graph.partition;
    Lowering(from, *to, options).run();
    return to;
  };
  // A reference makes all results of its op; the last pass drops those that nobody asked for. On a mesh the first pass
  // makes the per-device regions whose ops the second one lowers.
  std::unique_ptr<Graph> split = graph.partition == nullptr ? nullptr : pass(graph);
  return pass(*pass(split == nullptr ? graph : *split));
}

}  // namespace fathom
