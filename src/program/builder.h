// Puts a Program together: arguments and results are added to the graph and to the signature in one step.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/batch_fields.h"
#include "model/decoder.h"
#include "program/programs.h"

namespace fathom {

class ProgramBuilder {
 public:
  ProgramBuilder(std::string name, Precision precision, const StateSpec& state);

  Graph& graph() { return *program_.graph; }
  // Adds an argument, whole on every device unless `sharding` says otherwise; its value is that of the graph.
  Value arg(std::string name, TensorType type, Sharding sharding = {});
  // One argument for each chosen entry of the state, in the order of the list. The values stand at the entries'
  // indices; those that are not chosen are null.
  std::vector<Value> state(const StateChoice& choice);
  // The batch as arguments; `model_only`: without what only the loss reads, whose values are then null.
  BatchFields<Value> batch(const BatchShape& shape, bool model_only = false);

  // Adds a result, whole on every device unless `sharding` says otherwise.
  void result(std::string name, Value value, Sharding sharding = {});
  // A state entry as a result; it takes over the memory of the argument of its name, if there is one.
  void state_result(const StateEntry& entry, Value value);
  // A result that takes over the memory of the argument of its name, if there is one.
  void donated_result(const std::string& name, Value value, const Sharding& sharding);
  // One vector of scalars of one type.
  void scalars(std::string name, const ValuesByName& values);
  Program finish() { return std::move(program_); }

 private:
  const StateSpec& spec_;
  std::map<std::string, size_t> args_;  // positions by name
  Program program_;
};

// The model's part of a batch.
ModelInputs model_inputs(const BatchFields<Value>& batch);

// The weights among the values of a state.
Weights make_weights(const StateSpec& spec, std::span<const Value> state);

// x [b s d] at the place `at` [b] of each row, as a sum with one term: a gather would not stay on a mesh's devices.
Value at_places(Value x, Value at);

}  // namespace fathom
