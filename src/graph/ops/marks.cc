// Marks, which change names, gradients or placement but no numbers, and calls, of which the graph knows types only.
#include <algorithm>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"
#include "graph/partition.h"

namespace fathom {

// ---- rename ----

Value rename(Value x, std::string_view from, std::string_view to, Where w) {
  int axis = axis_of(Op::kRename, x, from, w);
  if (from == to) return x;
  if (x.has(to)) graph_error(Op::kRename, std::span(&x, 1), fmt::format("there is an axis '{}' already", to), w);
  return x.graph().make(Op::kRename, {x}, TypeAttrs{{x.dtype(), with_name(x.shape(), axis, to)}}, w).result();
}

Types infer_rename(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  if (to.dtype != c.type().dtype || to.shape.sizes() != c.type().shape.sizes()) {
    c.fail("other names do not make it " + to.to_string());
  }
  return {to};
}

// dx = dy under x's names
void vjp_rename(VjpContext& c) {
  Value dy = c.cotangent();
  c.add(0, dy.graph().make(Op::kRename, {dy}, TypeAttrs{c.type()}, c.node().where).result());
}

// ---- tag, stop_gradient, barrier ----

Value tag(Value x, std::string_view tag_name, Where w) {
  require_values(Op::kTag, std::span(&x, 1), w);
  return x.graph().make(Op::kTag, {x}, TextAttrs{std::string(tag_name)}, w).result();
}

Value stop_gradient(Value x, Where w) {
  require_values(Op::kStopGradient, std::span(&x, 1), w);
  return x.graph().make(Op::kStopGradient, {x}, {}, w).result();
}

std::vector<Value> barrier(std::vector<Value> xs, Where w) {
  if (xs.empty()) return xs;
  require_values(Op::kBarrier, xs, w);
  Graph& g = xs[0].graph();
  return results_of(g.make(Op::kBarrier, std::move(xs), {}, w));
}

Types infer_same(const InferContext& c) {
  Types out;
  for (const Value& v : c.operands) out.push_back(v.type());
  return out;
}

// dx_i = dy_i; a barrier orders the forward pass only
void vjp_same(VjpContext& c) {
  for (int i = 0; i < static_cast<int>(c.node().operands.size()); ++i) {
    if (c.cotangent(i)) c.add(i, c.cotangent(i));
  }
}

// ---- saved: made by the sweep in place of a tagged value that the forward pass kept ----

Types infer_saved(const InferContext& c) {
  if (c.type(0) != c.type(1)) c.fail("the kept value is of another type than the one it stands for");
  return {c.type()};
}

// y stands for operand 1, which is where the gradient goes
void vjp_saved(VjpContext& c) { c.add(1, c.cotangent()); }

// ---- shard ----

Value shard(Value x, Sharding sharding, Where w) {
  require_values(Op::kShard, std::span(&x, 1), w);
  return x.graph().make(Op::kShard, {x}, ShardAttrs{std::move(sharding)}, w).result();
}

Value shard_activation(Value x, Where w) {
  require_values(Op::kShard, std::span(&x, 1), w);
  const auto& partition = x.graph().partition;
  return partition == nullptr ? x : shard(x, partition->activation(x.shape()), w);
}

Types infer_shard(const InferContext& c) {
  const Sharding& sharding = c.attr<ShardAttrs>().sharding;
  if (static_cast<int>(sharding.dims.size()) > c.type().shape.rank()) {
    c.fail(fmt::format("the sharding has {} axes", sharding.dims.size()));
  }
  std::vector<std::string> used;
  for (const auto& dim : sharding.dims) {
    for (const std::string& mesh_axis : dim) {
      if (std::find(used.begin(), used.end(), mesh_axis) != used.end()) {
        c.fail(fmt::format("mesh axis '{}' splits the value twice", mesh_axis));
      }
      used.push_back(mesh_axis);
    }
  }
  return {c.type()};
}

// dx = dy, split in the same way
void vjp_shard(VjpContext& c) { c.add(0, shard(c.cotangent(), c.node().attr<ShardAttrs>().sharding)); }

// ---- custom calls ----

std::vector<Value> custom_call(Graph& g, const CustomCall& call, std::vector<Value> operands, Where w) {
  require_values(Op::kCustomCall, operands, w);
  CallAttrs attrs{.target = call.target,
                  .config = call.config,
                  .aliases = call.aliases,
                  .results = call.results,
                  .collective = call.collective};
  return results_of(g.make(Op::kCustomCall, std::move(operands), std::move(attrs), w));
}

Types infer_custom_call(const InferContext& c) {
  const CallAttrs& a = c.attr<CallAttrs>();
  if (a.target.empty()) c.fail("the call names no target");
  for (auto [result, operand] : a.aliases) {
    bool there = result >= 0 && operand >= 0 && result < static_cast<int>(a.results.size()) &&
                 operand < static_cast<int>(c.operands.size());
    if (!there || a.results[static_cast<size_t>(result)].bytes() != c.type(operand).bytes()) {
      c.fail(fmt::format("{}: result {} and operand {} cannot share memory", a.target, result, operand));
    }
  }
  return a.results;
}

}  // namespace fathom
