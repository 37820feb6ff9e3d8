#include "graph/lower.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "graph/clone.h"
#include "graph/compiler_quirks.h"
#include "graph/host_memory.h"
#include "graph/liveness.h"
#include "graph/manual.h"
#include "graph/ops.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

class Lowering {
 public:
  // `last`: nothing is left to lower but what one of the compilers needs said otherwise.
  Lowering(const Graph& from, Graph& to, const LowerOptions& options, bool last)
      : from_(from), to_(to), options_(options), last_(last), live_(from.root().results) {}

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
      case Op::kRename:
        if (at(node.operands[0]).type() == node.operands[0].type()) break;
        map_[node.result()] = at(node.operands[0]);  // the stack that an op has written its result into
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
    const Hardware hardware = options_.target.hardware;
    if (hardware == Hardware::kCpu && node.op == Op::kCustomCall && node.attr<CallAttrs>().target == kPlacementCall) {
      map_[node.result()] = operands[0];
      return;
    }
    if (Value v = last_ ? compiler_form(hardware, node, operands) : Value()) {
      map_[node.result()] = v;
      return;
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

  // The op behind a stacked result of a scan's body whose kernel can write it straight into the stack: nothing else
  // uses it, and only new names lie between. Null: there is none.
  const Node* writer_of(const Region& body, Value result) const {
    auto only_use = [&](Value v) { return uses_of(body, v) == 1; };
    bool alone = only_use(result);
    while (alone && result.node().op == Op::kRename) alone = only_use(result = result.node().operands[0]);
    const Node& node = result.node();
    if (!alone || node.op != Op::kFused || node.region != &body || to_.partition != nullptr) return nullptr;
    const FusedOp& op = *node.attr<FusedAttrs>().op;
    return op.writes_stack != nullptr && op.writes_stack(node, options_.target) ? &node : nullptr;
  }

  // A scan while it is made: only what is live of the old one.
  struct NewScan {
    Node& from;
    const Region& body;  // of `from`
    std::unique_ptr<Region> region;
    Value index;
    std::vector<Value> operands;
    std::vector<TensorType> types;            // of the results
    std::vector<int> in_place;                // results of `from` that a kernel writes: carried stacks
    std::vector<std::pair<int, int>> places;  // which result of `from` is which of the new one

    bool is_in_place(int result) const { return std::find(in_place.begin(), in_place.end(), result) != in_place.end(); }
  };

  // Operands `first` .. `last` - 1 of the old scan whose argument is live. Returns how many there are.
  int keep_operands(NewScan& scan, int first, int last, bool sliced = false) {
    const size_t before = scan.operands.size();
    for (int i = first; i < last; ++i) {
      Value arg = scan.body.args()[static_cast<size_t>(i) + 1];
      if (!live_.live(arg)) continue;
      Value outer = at(scan.from.operands[static_cast<size_t>(i)]);
      scan.operands.push_back(outer);
      map_[arg] = scan.region->add_arg(arg.type(), arg.node().attr<ArgAttrs>().name);
      if (sliced) stacks_.emplace(map_[arg], StackRef{outer, scan.index});
    }
    return static_cast<int>(scan.operands.size() - before);
  }

  // A stack whose layers a kernel writes in place is a carried value of the new scan. Returns how many there are.
  int carry_written_stacks(NewScan& scan) {
    for (int i = scan.from.attr<ScanAttrs>().carries; i < static_cast<int>(scan.from.results.size()); ++i) {
      if (!live_.live(scan.from.result(i))) continue;
      const Node* writer = writer_of(scan.body, scan.body.results[static_cast<size_t>(i)]);
      if (writer == nullptr) continue;
      scan.operands.push_back(empty(to_, scan.from.results[static_cast<size_t>(i)], scan.from.where));
      scan.types.push_back(scan.operands.back().type());
      destinations_.emplace(writer, StackRef{scan.region->add_arg(scan.types.back(), "stack"), scan.index});
      scan.in_place.push_back(i);
    }
    return static_cast<int>(scan.in_place.size());
  }

  void keep_results(NewScan& scan, int old_carries, int carries) {
    std::vector<Value>& made = scan.region->results;
    auto keep = [&](int i) {
      scan.places.emplace_back(i, static_cast<int>(made.size()));
      made.push_back(at(scan.body.results[static_cast<size_t>(i)]));
    };
    for (int i = 0; i < old_carries; ++i) {
      if (live_.live(scan.body.args()[static_cast<size_t>(i) + 1])) keep(i);
    }
    for (int i : scan.in_place) keep(i);
    for (int i = old_carries; i < static_cast<int>(scan.from.results.size()); ++i) {
      if (!live_.live(scan.from.result(i)) || scan.is_in_place(i)) continue;
      // One stack serves an op's output and a node that only passes it on.
      auto twin = std::find(made.begin() + carries, made.end(), at(scan.body.results[static_cast<size_t>(i)]));
      if (twin != made.end()) {
        scan.places.emplace_back(i, static_cast<int>(twin - made.begin()));
        continue;
      }
      keep(i);
      scan.types.push_back(scan.from.results[static_cast<size_t>(i)]);
    }
  }

  // Keeps the carried values, stacks and captures that are live.
  void lower_scan(Node& node) {
    const ScanAttrs attrs = node.attr<ScanAttrs>();
    NewScan scan{.from = node, .body = *node.regions[0]};
    scan.region = std::make_unique<Region>(to_, nullptr, &to_.insertion());
    scan.index = map_[scan.body.args()[0]] = scan.region->add_arg(scan.body.args()[0].type(), "index");
    ScanAttrs kept = attrs;
    kept.carries = keep_operands(scan, 0, attrs.carries);
    for (const Value& carried : scan.operands) scan.types.push_back(carried.type());
    kept.carries += carry_written_stacks(scan);
    kept.stacks = keep_operands(scan, attrs.carries, attrs.carries + attrs.stacks, true);
    keep_operands(scan, attrs.carries + attrs.stacks, static_cast<int>(node.operands.size()));
    {
      Insertion inside(*scan.region);
      lower_nodes(scan.body);
      keep_results(scan, attrs.carries, kept.carries);
    }
    // Kernels that read a stack in place use the outer value inside the body: those become captures.
    std::vector<Value> captured = close_over(*scan.region);
    scan.operands.insert(scan.operands.end(), captured.begin(), captured.end());
    Node& copy = make_like(node, std::move(scan.operands), std::move(scan.types), kept);
    std::vector<std::unique_ptr<Region>> regions;
    regions.push_back(std::move(scan.region));
    adopt(copy, std::move(regions));
    for (auto [result, place] : scan.places) map_[node.result(result)] = copy.result(place);
  }

  void lower_fused(Node& node);
  bool lower_on_mesh(const Node& node);

  const Graph& from_;
  Graph& to_;
  const LowerOptions& options_;
  const bool last_;
  Liveness live_;
  ValueMap map_;
  std::unordered_map<Value, StackRef, ValueHash> stacks_;   // scan slices of the new graph
  std::unordered_map<const Node*, StackRef> destinations_;  // of nodes of the old graph
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
  std::optional<StackRef> destination() const override {
    auto it = l_.destinations_.find(&node_);
    if (it == l_.destinations_.end()) return std::nullopt;
    return it->second;
  }

 private:
  Lowering& l_;
  const Node& node_;
  std::vector<Value> operands_;
};

// Whether a region has nodes that a lowering takes away.
bool has_more_to_lower(const Region& region) {
  for (const Node* node : region.nodes()) {
    switch (node->op) {
      case Op::kFused:
      case Op::kTag:
      case Op::kSaved:
      case Op::kStopGradient:
      case Op::kRemat:
        return true;
      default:
        break;
    }
    for (const auto& body : node->regions) {
      if (has_more_to_lower(*body)) return true;
    }
  }
  return false;
}

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
  auto pass = [&](const Graph& from, bool last = false) {
    auto to = std::make_unique<Graph>();
    to->precision = graph.precision;
    to->partition = graph.partition;
    Lowering(from, *to, options, last).run();
    return to;
  };
  // A reference makes all results of its op; the next pass drops those that nobody asked for. On a mesh the first pass
  // makes the per-device regions whose ops the second one lowers.
  std::unique_ptr<Graph> split = graph.partition == nullptr ? nullptr : pass(graph);
  std::unique_ptr<Graph> out = pass(split == nullptr ? graph : *split);
  // A form may be made of fused ops (fused/head_loss.h), whose references the next pass makes.
  do {
    out = pass(*out);
  } while (has_more_to_lower(out->root()));
  return pass(*out, true);
}

}  // namespace fathom
