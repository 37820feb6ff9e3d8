// What a fused op is to the graph: one node with a composed reference (the oracle and the fallback), a VJP, and a
// lowering for each platform. The ops themselves live in src/fused.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/partition.h"

namespace fathom {

// What the text is made for. The text is a pure function of (config, mesh, target).
struct Target {
  std::string platform = "cpu";  // cpu, tpu, gpu
  // Names of the custom calls that the platform has (kernels/abi.h); empty: every fused op takes its reference.
  std::vector<std::string> kernels;
  bool has(std::string_view kernel) const {
    for (const auto& k : kernels) {
      if (k == kernel) return true;
    }
    return false;
  }
};

// A fused op on a mesh: per-device code over every mesh axis. `in` and `out` say how operands and results are split;
// `body` makes the results of one device from the operands of one device, with the collectives of graph/manual.h.
struct ShardedForm {
  std::vector<Sharding> in, out;
  std::function<std::vector<Value>(std::span<const Value> local)> body;
};

// A layer's weight inside a scan: the whole stack and the layer's index, for kernels that read the stack in place.
struct StackRef {
  Value stack;
  Value index;  // s32 scalar
};

// What a lowering sees: the node's attributes and its operands in the program being made.
class LoweringContext {
 public:
  virtual ~LoweringContext() = default;
  virtual const Node& node() const = 0;
  virtual const std::vector<Value>& operands() const = 0;
  virtual const Target& target() const = 0;
  virtual Graph& graph() = 0;
  // The stack that operand i is a slice of, when it is the slice of the enclosing scan and nothing else.
  virtual std::optional<StackRef> stack_of(int i) const = 0;
};

struct FusedOp {
  std::string_view name;
  std::vector<TensorType> (*infer)(const InferContext&);
  // The same result from plain ops.
  std::vector<Value> (*reference)(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& graph);
  // Null: the op differentiates through its reference.
  VjpRule vjp;
  // The platform's own form; returns an empty vector when it has none for these operands (then the reference is taken)
  // and says why in `reason`. Null: reference everywhere.
  std::vector<Value> (*lower)(LoweringContext&, std::string& reason);
  // The op on a mesh of several devices. Null, or nothing returned: the reference, which the partitioner splits.
  std::optional<ShardedForm> (*shard)(const Node& node, const Partition& partition, const Target& target) = nullptr;
  // Floating-point operations of its products on the target, as far as the shapes tell; null: those of its reference.
  double (*flops)(const Node& node, const Target& target) = nullptr;
  // Making the results costs about as much as reading them from memory: a reverse scan makes them again.
  bool light = false;
};

// A node of the fused op.
std::vector<Value> fused(Graph& g, const FusedOp& op, std::vector<Value> operands, FusedAttrs attrs,
                         std::source_location where);

}  // namespace fathom
