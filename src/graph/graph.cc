#include "graph/graph.h"

#include <fmt/format.h>

namespace fathom {
namespace {

std::string describe(Op op, std::span<const Value> operands, std::string_view message, const std::string& scope,
                     std::source_location where) {
  std::string text = fmt::format("{}: {}", name(op), message);
  for (size_t i = 0; i < operands.size(); ++i) {
    text += i == 0 ? "; operands " : ", ";
    text += operands[i] ? operands[i].type().to_string() : "(null)";
  }
  if (!scope.empty()) text += "; in " + scope;
  return text + fmt::format("; at {}:{}", where.file_name(), where.line());
}

}  // namespace

const TensorType& Value::type() const { return node_->results[static_cast<size_t>(index_)]; }
Region& Value::region() const { return *node_->region; }
Graph& Value::graph() const { return node_->region->graph(); }

int64_t Value::size(std::string_view axis) const {
  int i = shape().find(axis);
  if (i < 0) {
    throw GraphError(fmt::format("no axis '{}' in {} made by {} at {}:{}", axis, type().to_string(), name(node_->op),
                                 node_->where.file_name(), node_->where.line()));
  }
  return shape()[i].size;
}

Region::Region(Graph& graph, Node* owner, Region* parent) : graph_(&graph), owner_(owner), parent_(parent) {}
Region::~Region() = default;

bool Region::sees(const Region& other) const {
  for (const Region* r = this; r != nullptr; r = r->parent_) {
    if (r == &other) return true;
  }
  return false;
}

Value Region::add_arg(TensorType type, std::string arg_name, std::source_location where) {
  auto node = std::make_unique<Node>(Node{.op = Op::kArg,
                                          .id = graph_->next_id_++,
                                          .operands = {},
                                          .results = {std::move(type)},
                                          .attrs = ArgAttrs{std::move(arg_name)},
                                          .regions = {},
                                          .region = this,
                                          .scope = graph_->scope_,
                                          .where = where});
  args_.push_back(node->result());
  storage_.push_back(std::move(node));
  return args_.back();
}

Graph::Graph() : root_(std::make_unique<Region>(*this, nullptr, nullptr)), insertion_(root_.get()) {}
Graph::~Graph() = default;

Node& Graph::make(Op op, std::vector<Value> operands, Attrs attrs, std::source_location where) {
  for (const Value& v : operands) {
    if (!v) graph_error(op, operands, "an operand is null (a gradient that does not exist?)", where);
  }
  InferContext context{op, operands, attrs, scope_, where};
  std::vector<TensorType> types = op_def(op).infer(context);
  return make_typed(op, std::move(operands), std::move(types), std::move(attrs), where);
}

Node& Graph::make_typed(Op op, std::vector<Value> operands, std::vector<TensorType> results, Attrs attrs,
                        std::source_location where) {
  for (const Value& v : operands) {
    if (&v.graph() != this) graph_error(op, operands, "an operand belongs to another graph", where);
    if (!insertion_->sees(v.region())) {
      graph_error(op, operands, "an operand stands in a region that is closed or not around this one", where);
    }
  }
  auto node = std::make_unique<Node>(Node{.op = op,
                                          .id = next_id_++,
                                          .operands = std::move(operands),
                                          .results = std::move(results),
                                          .attrs = std::move(attrs),
                                          .regions = {},
                                          .region = insertion_,
                                          .scope = scope_,
                                          .where = where});
  Node& made = *node;
  insertion_->nodes_.push_back(&made);
  insertion_->storage_.push_back(std::move(node));
  return made;
}

void InferContext::fail(std::string_view message) const {
  throw GraphError(describe(op, operands, message, scope, where));
}

void graph_error(Op op, std::span<const Value> operands, std::string_view message, std::source_location where) {
  std::string scope;
  for (const Value& v : operands) {
    if (v) scope = v.graph().scope();
  }
  throw GraphError(describe(op, operands, message, scope, where));
}

}  // namespace fathom
