// Which values the results of a region need.
#pragma once

#include <unordered_set>
#include <vector>

#include "graph/graph.h"

namespace fathom {

// The values that `results` depend on, arguments and values inside bodies included. A carried value of a scan is live
// when anything needs it in the loop or after it; a stacked result only when it is used.
class Liveness {
 public:
  explicit Liveness(const std::vector<Value>& results);
  bool live(Value v) const { return live_.contains(v); }
  // Whether any result of the node is live.
  bool live(const Node& node) const;

 private:
  void mark(Value v);
  void visit(Value v);
  void visit_arg(Value v);
  void visit_scan(Node& node, int result);
  std::unordered_set<Value, ValueHash> live_;
  std::vector<Value> pending_;
};

// How often nodes of the region, those of bodies in it included, and its results use the value.
int uses_of(const Region& region, Value v);

// Position of an argument among its region's arguments.
int arg_position(Value arg);

}  // namespace fathom
