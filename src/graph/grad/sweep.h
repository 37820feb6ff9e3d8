// The reverse sweep over one list of nodes, and the VJPs of the ops with bodies.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/clone.h"
#include "graph/graph.h"

namespace fathom {

// First words of scope paths: the backward pass of what stands behind, and what that pass computes again. Profiles tell
// the passes by them.
inline constexpr std::string_view kBackwardScope = "grad/";
inline constexpr std::string_view kRecomputedScope = "remat/";

// Gives, for a value of the forward computation, the value that stands for it where the gradient is built.
using Primal = std::function<Value(Value)>;

// Walks `nodes` backwards once and builds cotangents in the graph's insertion region. Node lists are topological, so no
// recursion is needed; two marks prune the walk: values that lead from a wanted one, and values that have a cotangent.
class Sweep {
 public:
  // `primal` may be expensive (inside a scan it may make a residual), so VJPs ask only for what they need.
  Sweep(Graph& graph, std::vector<Node*> nodes, Primal primal);

  // Marks a value whose cotangent is asked for afterwards.
  void want(Value v) { wanted_.insert(v); }
  // Adds to the cotangent of a value; checks that the types agree and blames `node`.
  void add(Value v, Value cotangent, const Node& blame);
  // Propagates the wanted marks forward; call after the last want(). Then wanted(v) holds for what depends on one.
  void mark();
  bool wanted(Value v) const { return wanted_.contains(v); }
  // Cotangents from the last node to the first; call after mark() and the seeds.
  void run();
  // Null when nothing reached the value.
  Value cotangent(Value v) const;
  Value primal(Value v) const { return primal_(v); }
  Graph& graph() const { return graph_; }

 private:
  class Context;
  void visit(Node& node);
  static std::string backward_scope(std::string_view scope);

  Graph& graph_;
  std::vector<Node*> nodes_;
  Primal primal_;
  std::unordered_set<Value, ValueHash> wanted_;
  ValueMap cotangents_;
};

// VJP of a scan: a reverse scan. Stacks are sliced again and captures used again, so neither is a residual; what else
// the body's rules ask for becomes a further stacked result of the forward scan (a residual), except values that are
// cheap to make again from those. Cotangents of captures are summed in the carry, those of stacks written in place.
void vjp_scan(VjpContext& context, Sweep& sweep);
// VJP of a remat region: its nodes again, then their sweep. Tags among the saved names are taken from the forward pass.
// The copy stands behind a barrier only where the forward nodes stand in the same region, where they would be merged
// with it.
void vjp_remat(VjpContext& context, Sweep& sweep);
// VJP of a fused op without a rule of its own: that of its reference.
void vjp_reference(VjpContext& context, Sweep& sweep);

}  // namespace fathom
