// What a fused op is to the graph: one node with a composed reference (the oracle and the fallback), a VJP, and a form
// of its own for each kind of hardware. The ops themselves live in src/fused.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hardware.h"
#include "graph/graph.h"
#include "graph/partition.h"

namespace fathom {

// What the text is made for. The text is a pure function of (config, mesh, target).
struct Target {
  Hardware hardware = Hardware::kCpu;
  // Names of the custom calls that are there (kernels/abi.h); a form that needs another one is not taken.
  std::set<std::string, std::less<>> kernels;
  bool has(std::string_view kernel) const { return kernels.contains(kernel); }
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
  // Where the result of an op that `writes_stack` goes: the stack that the enclosing scan makes of it. The form then
  // returns the whole stack. None: the result is not (only) a layer of a stack.
  virtual std::optional<StackRef> destination() const = 0;
};

// A fused op's results in the ops of one kind of hardware; an empty vector when it has no form for these operands (then
// the reference is taken), with the reason in `reason`.
using FusedForm = std::vector<Value> (*)(LoweringContext&, std::string& reason);

// The ops of the reference, not as a fallback but as the form: the compiler fuses them.
std::vector<Value> plain_ops(LoweringContext& context, std::string& reason);

// The form for each kind of hardware; null: the reference, as a fallback.
struct FusedForms {
  FusedForm cpu = nullptr, gpu = nullptr, tpu = nullptr;
  FusedForm of(Hardware hardware) const {
    return hardware == Hardware::kCpu ? cpu : hardware == Hardware::kGpu ? gpu : tpu;
  }
};
inline constexpr FusedForms kPlainOpsEverywhere{.cpu = plain_ops, .gpu = plain_ops, .tpu = plain_ops};

struct FusedOp {
  std::string_view name;
  std::vector<TensorType> (*infer)(const InferContext&);
  // The same result from plain ops.
  std::vector<Value> (*reference)(const std::vector<Value>& operands, const FusedAttrs& attrs, Graph& graph);
  // Null: the op differentiates through its reference.
  VjpRule vjp;
  FusedForms forms = {};
  // The op on a mesh of several devices. Null, or nothing returned: the reference, which the partitioner splits.
  std::optional<ShardedForm> (*shard)(const Node& node, const Partition& partition, const Target& target) = nullptr;
  // Floating-point operations of its products on the target, as far as the shapes tell; null: those of its reference.
  double (*flops)(const Node& node, const Target& target) = nullptr;
  // Whether the form writes its one result straight into a stack (LoweringContext::destination); null: never.
  bool (*writes_stack)(const Node& node, const Target& target) = nullptr;
  // Making the results costs about as much as reading them from memory: a reverse scan makes them again.
  bool light = false;
};

// A node of the fused op.
std::vector<Value> fused(Graph& g, const FusedOp& op, std::vector<Value> operands, FusedAttrs attrs,
                         std::source_location where);

}  // namespace fathom
