// Prints the nodes of a lowered graph, one line each, into the body of a function.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/signature.h"
#include "graph/fused_op.h"
#include "graph/graph.h"
#include "graph/liveness.h"

namespace fathom {

class Printer {
 public:
  Printer(const Graph& graph, const Mesh& mesh, const Target& target)
      : graph_(graph), mesh_(mesh), target_(target), live_(graph.root().results) {}

  // Gives a program argument its name.
  void bind(Value v, std::string text) { names_[v] = std::move(text); }
  // Prints the live nodes of the program; `text()` has them afterwards.
  void run() { print_nodes(graph_.root()); }
  const std::string& name_of(Value v) const { return names_.at(v); }
  // Reference to the location of a scope path: " loc(#loc3)".
  std::string location(const std::string& scope);
  // The definitions of all locations used.
  std::string locations() const;
  std::string& text() { return text_; }

 private:
  void print_nodes(const Region& region);
  void print_node(Node& node);
  void print_reduce(Node& node);
  void print_scatter(Node& node);
  void print_split(Node& node);
  void print_sort(Node& node);
  std::string print_before(const std::string& a, const std::string& b, DType dtype, bool descending);
  void print_while(Node& node);
  void print_manual(Node& node);
  void print_collective(Node& node);
  void print_scan(Node& node);
  std::string print_empty(const TensorType& type, const std::string& scope);
  void print_scan_condition(Node& node, const std::vector<TensorType>& types);
  void print_scan_body(Node& node, const std::vector<TensorType>& types, const std::vector<Value>& invariants);
  // Where a layer of a stack begins, as operands of a slice: its index, then zeros.
  struct LayerPlace {
    std::string index, zero;
    std::vector<std::string> start(int rank) const;
  };
  // The layer there of a stack of type `whole`.
  std::string print_layer(const std::string& stack, const TensorType& whole, const TensorType& layer,
                          const LayerPlace& place, const std::string& scope);
  // The stack with the layer there replaced.
  std::string print_layer_update(const std::string& stack, const TensorType& whole, Value layer,
                                 const LayerPlace& place, const std::string& scope);

  // One op line: results, name, operands, regions (already printed text), attributes, types. Returns the result names.
  struct Line {
    std::string_view op;
    std::vector<std::string> operands;
    std::vector<TensorType> operand_types;
    std::vector<TensorType> results;
    std::string attributes;
    std::string regions;
    const std::string* scope = nullptr;
  };
  std::vector<std::string> print(const Line& line);
  // Shorthands for the small ops around loops.
  std::string constant(double value, const TensorType& type, const std::string& scope);
  std::string unary(std::string_view op, const std::string& x, const TensorType& from, const TensorType& to,
                    const std::string& scope, std::string attributes = "");
  std::string binary(std::string_view op, const std::string& a, const std::string& b, const TensorType& type,
                     const std::string& scope);
  void print_return(const std::vector<std::string>& values, const std::vector<TensorType>& types);
  // Starts a block with fresh argument names: "^bb0(%7: tensor<f32>, ...):".
  std::vector<std::string> open_block(const std::vector<TensorType>& types);
  // Runs `f` with an empty text and returns what it printed.
  template <class F>
  std::string capture(F f) {
    std::string outer = std::move(text_);
    text_.clear();
    f();
    std::string inner = std::move(text_);
    text_ = std::move(outer);
    return inner;
  }
  std::vector<std::string> names(const std::vector<Value>& values) const;

  const Graph& graph_;
  const Mesh& mesh_;
  bool in_manual_ = false;  // inside the body of a manual region: shapes are those of one device
  const Target& target_;
  Liveness live_;
  std::unordered_map<Value, std::string, ValueHash> names_;
  std::unordered_map<std::string, int> locations_;
  std::vector<std::string> location_order_;
  std::string text_;
  int next_ = 0;
  int64_t channels_ = 0;  // that collectives have taken
};

}  // namespace fathom
