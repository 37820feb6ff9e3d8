// Puts a Program together: arguments and results are added to the graph and to the signature in one step.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "program/programs.h"

namespace fathom {

class ProgramBuilder {
 public:
  ProgramBuilder(std::string name, Precision precision, const StateLayout& layout);

  Graph& graph() { return *program_.graph; }
  // Adds an argument, whole on every device unless `sharding` says otherwise; its value is that of the graph.
  Value arg(std::string name, TensorType type, Sharding sharding = {});
  // One argument for each array of the layout, in order.
  std::vector<Value> parameters(const StateLayout& layout);
  // Adds a result, whole on every device unless `sharding` says otherwise.
  void result(std::string name, Value value, Sharding sharding = {});
  // A result that takes over the memory of an argument, and is split as that is.
  void result_in(size_t donor, std::string name, Value value);
  size_t args() const { return program_.signature.args.size(); }
  Program finish() { return std::move(program_); }

 private:
  Program program_;
};

// The batch as arguments.
struct BatchValues {
  Value inputs, positions, segments, targets, target_segments;  // [b s] s32
  ModelInputs model() const { return {inputs, positions, segments}; }
};
BatchValues batch_arguments(ProgramBuilder& builder, const BatchShape& shape);
ModelInputs input_arguments(ProgramBuilder& builder, const BatchShape& shape);

Weights make_weights(const StateLayout& layout, std::span<const Value> parameters);

}  // namespace fathom
