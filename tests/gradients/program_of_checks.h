// Many small checks of graph operations in one compiled module: each kind of check is a class here, a test fills it
// with cases of one family and runs it once.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/host_array.h"
#include "graph/ops.h"

namespace fathom {

// A graph whose arguments come with their contents and whose results are all read back as float64.
class CheckedProgram {
 public:
  CheckedProgram() : graph_(std::make_unique<Graph>()) {}
  Graph& graph() { return *graph_; }

  // An argument with the given elements in row-major order.
  Value values(DType dtype, const Shape& shape, const std::vector<double>& elements);
  // A float64 argument of random elements, evenly spread over [low, high).
  Value random(const Shape& shape, double low, double high);

  // The elements of each result, computed by a plugin (a part of its path, runtime/testing/cpu_plugins.h).
  std::vector<std::vector<double>> run(const std::string& plugin, const std::vector<Value>& results);

  // Every op in the graph, bodies included.
  std::set<Op> ops() const;

 private:
  std::unique_ptr<Graph> graph_;
  std::vector<HostArray> inputs_;
  uint64_t drawn_ = 0;
};

// Values of expressions against numbers worked out by hand.
class ValueChecks : public CheckedProgram {
 public:
  Value f32(const Shape& shape, const std::vector<double>& elements) { return values(DType::kF32, shape, elements); }
  Value s32(const Shape& shape, const std::vector<double>& elements) { return values(DType::kS32, shape, elements); }
  // `tolerance` is absolute; NaN equals NaN only.
  void expect(std::string name, Value value, std::vector<double> elements, double tolerance = 1e-6);
  void run_all(const std::string& plugin);

 private:
  struct Check {
    std::string name;
    std::vector<double> elements;
    double tolerance;
  };
  std::vector<Check> checks_;
  std::vector<Value> results_;
};

// Gradients against central differences, in float64.
class GradientChecks : public CheckedProgram {
 public:
  struct Input {
    Shape shape;
    double low = -1;  // random elements come from [low, high): keep away from kinks by more than 1e-4
    double high = 1;
  };
  using Function = std::function<Value(std::span<const Value>)>;

  // Compares, along a random direction v of all inputs x together, <gradient, v> with (L(x + h v) - L(x - h v)) / 2 h,
  // where L is the sum of f(x) with random weights.
  void check(std::string name, const std::vector<Input>& inputs, const Function& f);
  // Further sums that must agree as they are: the gradients of two functions along one direction.
  void same(std::string name, const std::vector<Input>& inputs, const Function& f, const Function& g);
  void run_all(const std::string& plugin);

 private:
  struct Check {
    std::string name;
    double tolerance;  // relative to the larger of both, or 1
  };
  // <gradient of the weighted sum of f at x, v>
  Value along(const Function& f, const std::vector<Value>& xs, const std::vector<Value>& vs);
  Value loss(const Function& f, const std::vector<Value>& xs);
  void compare(std::string name, double tolerance, Value a, Value b);

  std::vector<Check> checks_;
  std::vector<Value> results_;  // two for each check
  Value weights_;               // of the present check's result
};

}  // namespace fathom
