// The graph: values with named axes, made by operations, inside regions. Staged code builds it; nothing here computes.
//
// A Graph owns Regions, a Region owns Nodes in the order they were made (so the list is topological), a Value is one
// result of a Node. New nodes go to the graph's insertion region, which `scan`, `remat` and their like set while their
// body runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/shape.h"
#include "graph/attrs.h"
#include "graph/op.h"

namespace fathom {

class Graph;
class Partition;
class Region;
struct Node;

// A misuse of the graph: names the op, the operand types with their axes, the scope and the caller's line.
class GraphError : public Error {
 public:
  explicit GraphError(const std::string& message) : Error(message, kExitFault) {}
};

// One result of a node; a small handle, valid as long as its graph. A default Value is null.
class Value {
 public:
  Value() = default;
  Value(Node* node, int index) : node_(node), index_(index) {}

  explicit operator bool() const { return node_ != nullptr; }
  Node& node() const { return *node_; }
  int index() const { return index_; }
  const TensorType& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  int rank() const { return shape().rank(); }
  // Size of a named axis; throws GraphError when the value has none of that name.
  int64_t size(std::string_view axis) const;
  bool has(std::string_view axis) const { return shape().has(axis); }
  Region& region() const;
  Graph& graph() const;

  friend bool operator==(const Value&, const Value&) = default;

 private:
  Node* node_ = nullptr;
  int index_ = 0;
};

struct ValueHash {
  size_t operator()(const Value& v) const {
    return std::hash<const void*>()(v ? &v.node() : nullptr) * 31 + static_cast<size_t>(v.index());
  }
};

struct Node {
  Op op;
  int64_t id;  // grows in the order of creation, over the whole graph
  std::vector<Value> operands;
  std::vector<TensorType> results;
  Attrs attrs;
  std::vector<std::unique_ptr<Region>> regions;
  Region* region;              // where the node stands
  std::string scope;           // "decoder/moe_layers/mla"
  std::source_location where;  // the caller's line

  Value result(int i = 0) { return {this, i}; }
  template <class T>
  const T& attr() const {
    return std::get<T>(attrs);
  }
};

// A list of nodes with arguments and results: the program itself, or the body of a scan, remat, ...
class Region {
 public:
  Region(Graph& graph, Node* owner, Region* parent);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  Graph& graph() const { return *graph_; }
  // The node whose body this is; null for the program itself.
  Node* owner() const { return owner_; }
  void set_owner(Node* owner) { owner_ = owner; }
  Region* parent() const { return parent_; }
  // Whether `other` is this region or lies around it, so that its values may be used here.
  bool sees(const Region& other) const;

  // A new argument (a kArg node) of this region.
  Value add_arg(TensorType type, std::string arg_name, std::source_location where = std::source_location::current());
  const std::vector<Value>& args() const { return args_; }
  // Puts the arguments in another order; those left out may not be in use.
  void order_args(std::vector<Value> args) { args_ = std::move(args); }
  // Puts the last `count` nodes before all others.
  void move_to_front(size_t count) {
    std::rotate(nodes_.begin(), nodes_.end() - static_cast<std::ptrdiff_t>(count), nodes_.end());
  }
  // The nodes other than arguments, in order.
  const std::vector<Node*>& nodes() const { return nodes_; }
  std::vector<Value> results;

 private:
  friend class Graph;
  Graph* graph_;
  Node* owner_;
  Region* parent_;
  std::vector<Value> args_;
  std::vector<Node*> nodes_;
  std::vector<std::unique_ptr<Node>> storage_;
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) = delete;

  Region& root() { return *root_; }
  const Region& root() const { return *root_; }
  // Where new nodes go.
  Region& insertion() { return *insertion_; }

  // A program argument.
  Value arg(std::string arg_name, TensorType type, std::source_location where = std::source_location::current()) {
    return root_->add_arg(std::move(type), std::move(arg_name), where);
  }

  // Makes a node in the insertion region after the op's shape rule has accepted it. Throws GraphError.
  Node& make(Op op, std::vector<Value> operands, Attrs attrs, std::source_location where);
  // Makes a node whose result types are known (region ops, clones); checks only that the operands are visible.
  Node& make_typed(Op op, std::vector<Value> operands, std::vector<TensorType> results, Attrs attrs,
                   std::source_location where);

  // What every dot carries unless it says otherwise (configuration key matmul_precision).
  Precision precision = Precision::kDefault;

  // How programs are split over the mesh; null on one device.
  std::shared_ptr<const Partition> partition;

  const std::string& scope() const { return scope_; }
  int64_t node_count() const { return next_id_; }

 private:
  friend class Insertion;
  friend class Scope;
  friend class ScopePath;
  friend class Region;
  std::unique_ptr<Region> root_;
  Region* insertion_;
  std::string scope_;
  int64_t next_id_ = 0;
};

// Makes `region` the insertion region of its graph for a while.
class Insertion {
 public:
  explicit Insertion(Region& region) : graph_(region.graph()), before_(graph_.insertion_) {
    graph_.insertion_ = &region;
  }
  ~Insertion() { graph_.insertion_ = before_; }
  Insertion(const Insertion&) = delete;
  Insertion& operator=(const Insertion&) = delete;

 private:
  Graph& graph_;
  Region* before_;
};

// Adds a word to the scope path, which ends up in error messages and in the `loc` of the printed program.
class Scope {
 public:
  Scope(Graph& graph, std::string_view word) : graph_(graph), length_(graph.scope_.size()) {
    if (!graph_.scope_.empty()) graph_.scope_ += '/';
    graph_.scope_ += word;
  }
  ~Scope() { graph_.scope_.resize(length_); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Graph& graph_;
  size_t length_;
};

// Replaces the scope path for a while; for nodes that are made on behalf of others.
class ScopePath {
 public:
  ScopePath(Graph& graph, std::string path) : graph_(graph), before_(std::exchange(graph.scope_, std::move(path))) {}
  ~ScopePath() { graph_.scope_ = std::move(before_); }
  ScopePath(const ScopePath&) = delete;
  ScopePath& operator=(const ScopePath&) = delete;

 private:
  Graph& graph_;
  std::string before_;
};

// What a shape rule sees.
struct InferContext {
  Op op;
  std::span<const Value> operands;
  const Attrs& attrs;
  const std::string& scope;
  std::source_location where;

  const TensorType& type(int i = 0) const { return operands[static_cast<size_t>(i)].type(); }
  template <class T>
  const T& attr() const {
    return std::get<T>(attrs);
  }
  // Throws GraphError: "stablehlo.add: <message>; operands f32[b=2], f32[b=3]; in decoder/mla; at mla.cc:41".
  [[noreturn]] void fail(std::string_view message) const;
};

// Throws GraphError in the form of InferContext::fail for an op that is refused before its operands are complete.
[[noreturn]] void graph_error(Op op, std::span<const Value> operands, std::string_view message,
                              std::source_location where);

// What a VJP sees: the forward node, its operands and results as they stand where the gradient is being built, and the
// cotangents. Ask only for the values that the rule needs: inside a scan each one asked for may become a residual.
class VjpContext {
 public:
  virtual ~VjpContext() = default;
  virtual const Node& node() const = 0;
  virtual Value operand(int i) = 0;
  virtual Value result(int i) = 0;
  // Cotangent of result i, or a null Value when the loss does not depend on it.
  virtual Value cotangent(int i) = 0;
  // Whether operand i leads to an input whose gradient is wanted.
  virtual bool wants(int i) const = 0;
  // Adds to the cotangent of operand i; its type must be the operand's.
  virtual void add(int i, Value cotangent) = 0;

  Value operand() { return operand(0); }
  Value result() { return result(0); }
  Value cotangent() { return cotangent(0); }
  const TensorType& type(int i = 0) const { return node().operands[static_cast<size_t>(i)].type(); }
};

using InferRule = std::vector<TensorType> (*)(const InferContext&);
using VjpRule = void (*)(VjpContext&);

struct OpDef {
  Op op;
  std::string_view name;
  InferRule infer;          // null for region ops, whose builders know their result types
  VjpRule vjp;              // null when there is none
  std::string_view no_vjp;  // why there is none; for region ops "handled by the sweep"
};

const OpDef& op_def(Op op);

}  // namespace fathom
