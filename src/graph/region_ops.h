// Operations with bodies: scan, while, remat. Bodies are C++ functions run once while the graph is built; values
// from outside may be used freely inside (they become explicit captures when the body is closed).
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph/ops.h"

namespace fathom {

struct ScanBody {
  std::vector<Value> carry;  // the next carry, with the types of the initial one
  std::vector<Value> stack;  // this step's part of each stacked result
};
struct ScanResult {
  std::vector<Value> carry;
  std::vector<Value> stack;  // with the scan axis in front
};
struct ScanOptions {
  std::string axis;  // name of the scanned axis, the first of every stacked operand and result
  int64_t length = 0;
  bool reverse = false;  // from the last element to the first
};
// Runs `body(index, carry, slices)` for each element of the stacks. `index` is an s32 scalar. Differentiable: the VJP
// is a reverse scan; see grad/sweep.h for what it keeps.
ScanResult scan(
    Graph& g, const ScanOptions& options, std::vector<Value> init, std::vector<Value> stacks,
    const std::function<ScanBody(Value index, std::span<const Value> carry, std::span<const Value> slices)>& body,
    Where w = Where::current());

// Repeats `body` while `condition` (a bool scalar of the state) holds. Refuses differentiation.
std::vector<Value> while_loop(Graph& g, std::vector<Value> init,
                              const std::function<Value(std::span<const Value>)>& condition,
                              const std::function<std::vector<Value>(std::span<const Value>)>& body,
                              Where w = Where::current());

// A region whose inner values are not kept for the backward pass but computed again there, except those under the tags
// in `saved`. In the forward pass it is transparent.
std::vector<Value> remat(Graph& g, const std::set<std::string>& saved, const std::function<std::vector<Value>()>& body,
                         Where w = Where::current());

// Replaces, in the nodes and results of `region`, every value from outside by a new argument of the region, and returns
// those values in the order of the new arguments. For makers of region ops.
std::vector<Value> close_over(Region& region);

}  // namespace fathom
