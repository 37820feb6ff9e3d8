#include <algorithm>
#include <map>

#include "base/remat_names.h"
#include "graph/fused_op.h"
#include "graph/grad/sweep.h"
#include "graph/host_memory.h"
#include "graph/ops.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

// Ops whose result is made again from their operands rather than kept: constants, and movements without arithmetic.
bool cheap(Op op) {
  switch (op) {
    case Op::kConstant:
    case Op::kIota:
    case Op::kRename:
    case Op::kTag:
    case Op::kStopGradient:
    case Op::kBroadcast:
    case Op::kReshape:
    case Op::kTranspose:
    case Op::kShard:
      return true;
    default:
      return false;
  }
}

// Ops that cost about as much as reading their result from memory: arithmetic element by element, and movements.
bool light(const Node& node) {
  const Op op = node.op;
  if (op == Op::kFused) return node.attr<FusedAttrs>().op->light;
  if (cheap(op) || (op >= Op::kNeg && op <= Op::kClamp)) return true;
  return op == Op::kConcatenate || op == Op::kSlice || op == Op::kSplit || op == Op::kPad || op == Op::kGather;
}

void replace_uses(Region& region, const ValueMap& by) {
  auto replace = [&](Value& v) {
    auto it = by.find(v);
    if (it != by.end()) v = it->second;
  };
  for (Node* node : region.nodes()) {
    for (Value& v : node->operands) replace(v);
    for (auto& inner : node->regions) replace_uses(*inner, by);
  }
  for (Value& v : region.results) replace(v);
}

// By creation, so that programs do not depend on addresses.
struct InOrder {
  bool operator()(const Value& a, const Value& b) const {
    return std::pair(a.node().id, a.index()) < std::pair(b.node().id, b.index());
  }
};

// Builds the reverse scan of one forward scan.
class ReverseScan {
 public:
  ReverseScan(VjpContext& context, Sweep& outer)
      : context_(context),
        outer_(outer),
        graph_(outer.graph()),
        node_(const_cast<Node&>(context.node())),
        attrs_(node_.attr<ScanAttrs>()),
        forward_(*node_.regions[0]),
        outside_(graph_.insertion()),
        body_(std::make_unique<Region>(graph_, nullptr, &outside_)),
        inner_(graph_, forward_.nodes(), [this](Value v) { return primal(v); }) {
    for (size_t i = 0; i < forward_.args().size(); ++i) position_[forward_.args()[i]] = static_cast<int>(i);
  }

  void run() {
    mark_wanted();
    index_ = body_->add_arg(forward_.args()[0].type(), "index");
    seed_carries();
    seed_stacks();
    {
      Insertion inside(*body_);
      // The seeds of the carries stand in the body: their sum with what the sweep finds must too.
      for (auto& [inner_value, cotangent] : seeds_) inner_.add(inner_value, cotangent, node_);
      inner_.run();
      finish_carries();
      finish_captures();
      finish_stacks();
    }
    body_->results = results_;
    remake_light_residuals();
    close();
  }

 private:
  Value arg(int operand) const { return forward_.args()[static_cast<size_t>(operand) + 1]; }
  int operands() const { return static_cast<int>(node_.operands.size()); }
  bool is_carry(int operand) const { return operand < attrs_.carries; }
  bool is_stack(int operand) const { return !is_carry(operand) && operand < attrs_.carries + attrs_.stacks; }

  // An argument of the body is wanted when its operand is, or when it carries something that is from an earlier turn.
  void mark_wanted() {
    for (int i = 0; i < operands(); ++i) {
      if (context_.wants(i)) inner_.want(arg(i));
    }
    bool grew = true;
    while (grew) {
      inner_.mark();
      grew = false;
      for (int i = 0; i < attrs_.carries; ++i) {
        if (inner_.wanted(forward_.results[static_cast<size_t>(i)]) && !inner_.wanted(arg(i))) {
          inner_.want(arg(i));
          grew = true;
        }
      }
    }
  }

  // The reverse scan carries one cotangent for each wanted carry, from the last turn back to the first.
  void seed_carries() {
    for (int i = 0; i < attrs_.carries; ++i) {
      if (!inner_.wanted(arg(i))) continue;
      Value from_outside = context_.cotangent(i);
      carried_.push_back(i);
      init_.push_back(from_outside ? from_outside : zeros(graph_, arg(i).type()));
      Value here = body_->add_arg(arg(i).type(), "cotangent");
      carry_args_.push_back(here);
      seeds_.emplace_back(forward_.results[static_cast<size_t>(i)], here);
    }
  }

  void seed_stacks() {
    for (int i = attrs_.carries; i < static_cast<int>(node_.results.size()); ++i) {
      Value cotangent = context_.cotangent(i);
      Value part = forward_.results[static_cast<size_t>(i)];
      if (!cotangent || !inner_.wanted(part)) continue;
      seeds_.emplace_back(part, add_stack(cotangent, part.type()));
    }
  }

  Value add_stack(Value stack, const TensorType& slice) {
    stacks_.push_back(stack);
    stack_args_.push_back(body_->add_arg(slice, "slice"));
    return stack_args_.back();
  }

  // The value of the forward body in the reverse body.
  Value primal(Value v) {
    auto [it, fresh] = known_.try_emplace(v);
    if (fresh) {
      Value made = find(v);
      known_[v] = made;
      return made;
    }
    return it->second;
  }

  Value find(Value v) {
    auto it = position_.find(v);
    if (it != position_.end()) {
      if (it->second == 0) return index_;
      int operand = it->second - 1;
      if (is_carry(operand)) return residual(v);
      Insertion outside(outside_);
      Value whole = context_.operand(operand);
      return is_stack(operand) ? add_stack(whole, v.type()) : whole;
    }
    if (cheap(v.node().op)) {
      std::vector<Value> again;
      for (const Value& o : v.node().operands) again.push_back(primal(o));
      return copy_node(graph_, v.node(), std::move(again)).result(v.index());
    }
    return residual(v);
  }

  // A further stacked result of the forward scan, sliced again here. A value that has an axis of the scan's name itself
  // is kept under another one.
  Value residual(Value v) {
    if (!v.has(attrs_.axis)) return stacked(v);
    std::string other = attrs_.axis + "'";
    while (v.has(other)) other += '\'';
    Value renamed;
    {
      Insertion inside(forward_);
      renamed = rename(v, attrs_.axis, other, node_.where);
    }
    return rename(stacked(renamed), other, attrs_.axis, node_.where);
  }

  Value stacked(Value v) {
    std::vector<Axis> axes{{attrs_.axis, attrs_.length}};
    axes.insert(axes.end(), v.shape().begin(), v.shape().end());
    node_.results.push_back({v.dtype(), Shape(std::move(axes))});
    forward_.results.push_back(v);
    Insertion outside(outside_);
    Value slice = add_stack(outer_.primal(node_.result(static_cast<int>(node_.results.size()) - 1)), v.type());
    residuals_.emplace(v, slice);
    return slice;
  }

  // What the reverse body has without computing: slices, captures and residuals.
  bool at_hand(Value v) const {
    auto argument = position_.find(v);
    if (argument != position_.end() && (argument->second == 0 || !is_carry(argument->second - 1))) return true;
    return residuals_.contains(v);
  }

  // Whether light ops give v from what is at hand.
  bool lightly_made(Value v) {
    if (auto it = lightly_made_.find(v); it != lightly_made_.end()) return it->second;
    const std::vector<Value>& operands = v.node().operands;
    bool is = light(v.node()) &&
              std::all_of(operands.begin(), operands.end(), [&](Value o) { return at_hand(o) || lightly_made(o); });
    return lightly_made_[v] = is;
  }

  // v in the reverse body, from what is there; `made` has what was made so far.
  Value remake(Value v, ValueMap& made) {
    auto [it, fresh] = made.try_emplace(v);
    if (!fresh) return it->second;
    Value here;
    if (at_hand(v) && !(residuals_.contains(v) && lightly_made(v))) {
      here = primal(v);
    } else {
      std::vector<Value> operands;
      for (const Value& o : v.node().operands) operands.push_back(remake(o, made));
      here = copy_node(graph_, v.node(), std::move(operands)).result(v.index());
    }
    return made[v] = here;
  }

  // A residual is written by the forward scan and read back by the reverse one; those that light ops give from others
  // are made again instead. No further value is kept for that.
  void remake_light_residuals() {
    ValueMap made, by;
    const size_t before = body_->nodes().size();
    {
      Insertion inside(*body_);
      for (const auto& [value, slice] : residuals_) {
        if (lightly_made(value)) by[slice] = remake(value, made);
      }
    }
    body_->move_to_front(body_->nodes().size() - before);
    replace_uses(*body_, by);
    for (size_t i = stacks_.size(); i-- > 0;) {
      if (!by.contains(stack_args_[i])) continue;
      stacks_.erase(stacks_.begin() + static_cast<std::ptrdiff_t>(i));
      stack_args_.erase(stack_args_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  void finish_carries() {
    for (int i : carried_) {
      Value cotangent = inner_.cotangent(arg(i));
      results_.push_back(cotangent ? cotangent : zeros(graph_, arg(i).type()));
    }
  }

  // The turns of a narrow capture are summed in float32: a sum of many would lose the bits of the later ones.
  TensorType sum_type(int operand) const {
    TensorType type = node_.operands[static_cast<size_t>(operand)].type();
    if (is_float(type.dtype) && byte_size(type.dtype) < byte_size(DType::kF32)) type.dtype = DType::kF32;
    return type;
  }

  void finish_captures() {
    for (int i = attrs_.carries + attrs_.stacks; i < operands(); ++i) {
      Value cotangent = context_.wants(i) ? inner_.cotangent(arg(i)) : Value();
      if (!cotangent) continue;
      captured_.push_back(i);
      Value sum = body_->add_arg(sum_type(i), "sum");
      carry_args_.push_back(sum);
      results_.push_back(sum + convert(cotangent, sum.dtype()));
    }
  }

  void finish_stacks() {
    for (int i = attrs_.carries; i < attrs_.carries + attrs_.stacks; ++i) {
      Value cotangent = context_.wants(i) ? inner_.cotangent(arg(i)) : Value();
      if (!cotangent) continue;
      sliced_.push_back(i);
      results_.push_back(cotangent);
    }
  }

  // Arguments were added as they were met; the scan wants index, carries, slices, captures.
  void close() {
    for (int i : captured_) init_.push_back(zeros(graph_, sum_type(i)));
    std::vector<Value> ordered{index_};
    ordered.insert(ordered.end(), carry_args_.begin(), carry_args_.end());
    ordered.insert(ordered.end(), stack_args_.begin(), stack_args_.end());
    body_->order_args(std::move(ordered));
    std::vector<Value> operands = init_;
    operands.insert(operands.end(), stacks_.begin(), stacks_.end());
    std::vector<Value> captures = close_over(*body_);
    operands.insert(operands.end(), captures.begin(), captures.end());
    std::vector<TensorType> types;
    for (const Value& v : init_) types.push_back(v.type());
    for (int i : sliced_) types.push_back(node_.operands[static_cast<size_t>(i)].type());
    ScanAttrs attrs{.axis = attrs_.axis,
                    .length = attrs_.length,
                    .carries = static_cast<int>(init_.size()),
                    .stacks = static_cast<int>(stacks_.size()),
                    .reverse = !attrs_.reverse};
    Node& made = graph_.make_typed(Op::kScan, std::move(operands), std::move(types), attrs, node_.where);
    body_->set_owner(&made);
    made.regions.push_back(std::move(body_));
    int result = 0;
    for (int i : carried_) context_.add(i, made.result(result++));
    for (int i : captured_) {
      context_.add(i, convert(made.result(result++), node_.operands[static_cast<size_t>(i)].dtype()));
    }
    for (int i : sliced_) context_.add(i, made.result(result++));
  }

  VjpContext& context_;
  Sweep& outer_;
  Graph& graph_;
  Node& node_;
  const ScanAttrs attrs_;
  Region& forward_;
  Region& outside_;
  std::unique_ptr<Region> body_;
  Sweep inner_;
  Value index_;
  std::unordered_map<Value, int, ValueHash> position_;  // arguments of the forward body
  ValueMap known_;
  std::map<Value, Value, InOrder> residuals_;  // value of the forward body, its slice in the reverse body
  std::unordered_map<Value, bool, ValueHash> lightly_made_;
  std::vector<std::pair<Value, Value>> seeds_;    // (value of the forward body, its cotangent in the reverse body)
  std::vector<int> carried_, captured_, sliced_;  // operands of the forward scan that get a cotangent
  std::vector<Value> init_, stacks_;              // operands of the reverse scan
  std::vector<Value> carry_args_, stack_args_, results_;
};

// Sweeps nodes that were just made from `inputs` (the context's operands, as they stand here) and give `results`.
void sweep_inline(VjpContext& context, Sweep& outer, std::vector<Node*> nodes, const std::vector<Value>& inputs,
                  const std::vector<Value>& results) {
  Sweep inner(outer.graph(), std::move(nodes), [](Value v) { return v; });
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (context.wants(static_cast<int>(i))) inner.want(inputs[i]);
  }
  inner.mark();
  for (size_t i = 0; i < results.size(); ++i) {
    Value cotangent = context.cotangent(static_cast<int>(i));
    if (inner.wanted(results[i])) inner.add(results[i], cotangent, context.node());
  }
  inner.run();
  for (size_t i = 0; i < inputs.size(); ++i) {
    Value cotangent = inner.cotangent(inputs[i]);
    if (cotangent) context.add(static_cast<int>(i), cotangent);
  }
}

std::vector<Value> operands_here(VjpContext& context) {
  std::vector<Value> out;
  for (size_t i = 0; i < context.node().operands.size(); ++i) out.push_back(context.operand(static_cast<int>(i)));
  return out;
}

// Ties in the cotangents, so that the second computation is delayed until the backward pass has come here.
std::vector<Value> behind_barrier(VjpContext& context, std::vector<Value> inputs) {
  size_t count = inputs.size();
  for (size_t i = 0; i < context.node().results.size(); ++i) {
    Value cotangent = context.cotangent(static_cast<int>(i));
    if (cotangent) inputs.push_back(cotangent);
  }
  inputs = barrier(std::move(inputs));
  inputs.resize(count);
  return inputs;
}

// The path of what the backward pass computes again, its own and that of an enclosing region.
std::string recomputed(const std::string& scope) {
  return scope.starts_with(kRecomputedScope) ? scope : std::string(kRecomputedScope) + scope;
}

// The value of a tag in `body`, in the host's memory.
Value on_host(Region& body, Node& tag) {
  Insertion inside(body);
  return to_host(tag.result(), tag.where);
}

// Copies a remat body; a tag among the saved names gives the value kept by the forward pass, while gradients flow on to
// the copy. Returns the copies in order.
std::vector<Node*> copy_body(Sweep& sweep, Node& node, ValueMap& map) {
  Graph& graph = sweep.graph();
  Region& body = *node.regions[0];
  const std::vector<std::string>& saved = node.attr<RematAttrs>().saved;
  auto among_saved = [&](const std::string& name) { return std::binary_search(saved.begin(), saved.end(), name); };
  const std::vector<Node*> nodes = body.nodes();  // without the transfers that are added
  std::vector<Node*> copies;
  for (Node* inner : nodes) {
    std::vector<Value> operands;
    for (const Value& v : inner->operands) operands.push_back(map.at(v));
    copies.push_back(&copy_node(graph, *inner, std::move(operands)));
    copies.back()->scope = recomputed(inner->scope);
    for (int i = 0; i < static_cast<int>(inner->results.size()); ++i) map[Value(inner, i)] = copies.back()->result(i);
    if (inner->op != Op::kTag) continue;
    const std::string& name = inner->attr<TextAttrs>().text;
    const bool offloaded = among_saved(name + std::string(kOnHost));
    if (!offloaded && !among_saved(name)) continue;
    node.results.push_back(inner->results[0]);
    body.results.push_back(offloaded ? on_host(body, *inner) : inner->result());
    Value kept = sweep.primal(node.result(static_cast<int>(node.results.size()) - 1));
    if (offloaded) kept = from_host(kept, inner->where);
    copies.push_back(&graph.make(Op::kSaved, {kept, copies.back()->result()}, {}, inner->where));
    map[inner->result()] = copies.back()->result();
  }
  return copies;
}

}  // namespace

void vjp_scan(VjpContext& context, Sweep& sweep) { ReverseScan(context, sweep).run(); }

void vjp_remat(VjpContext& context, Sweep& sweep) {
  Node& node = const_cast<Node&>(context.node());
  size_t results = node.results.size();  // before the saved ones are added
  std::vector<Value> inputs = operands_here(context);
  if (node.region == &sweep.graph().insertion()) inputs = behind_barrier(context, std::move(inputs));
  ValueMap map;
  Region& body = *node.regions[0];
  for (size_t i = 0; i < inputs.size(); ++i) map[body.args()[i]] = inputs[i];
  std::vector<Node*> copies = copy_body(sweep, node, map);
  std::vector<Value> outputs;
  for (size_t i = 0; i < results; ++i) outputs.push_back(map.at(body.results[i]));
  sweep_inline(context, sweep, std::move(copies), inputs, outputs);
}

void vjp_reference(VjpContext& context, Sweep& sweep) {
  const FusedAttrs& attrs = context.node().attr<FusedAttrs>();
  std::vector<Value> inputs = operands_here(context);
  const std::vector<Node*>& nodes = sweep.graph().insertion().nodes();
  auto first = static_cast<std::ptrdiff_t>(nodes.size());
  std::vector<Value> outputs = attrs.op->reference(inputs, attrs, sweep.graph());
  sweep_inline(context, sweep, {nodes.begin() + first, nodes.end()}, inputs, outputs);
}

}  // namespace fathom
