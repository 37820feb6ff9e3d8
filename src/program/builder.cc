#include "program/builder.h"

namespace fathom {

ProgramBuilder::ProgramBuilder(std::string name, Precision precision) {
  program_.name = std::move(name);
  program_.graph = std::make_unique<Graph>();
  program_.graph->precision = precision;
}

Value ProgramBuilder::arg(std::string name, TensorType type) {
  program_.signature.args.push_back({.name = name, .type = type, .sharding = {}, .donated_to = {}});
  return graph().arg(std::move(name), std::move(type));
}

std::vector<Value> ProgramBuilder::parameters(const StateLayout& layout) {
  std::vector<Value> out;
  for (const ParamArray& a : layout.arrays) out.push_back(arg(a.name, a.type));
  return out;
}

void ProgramBuilder::result(std::string name, Value value, std::optional<size_t> donor) {
  Signature& s = program_.signature;
  if (donor) s.args[*donor].donated_to = static_cast<int>(s.results.size());
  s.results.push_back({.name = std::move(name), .type = value.type(), .sharding = {}});
  graph().root().results.push_back(value);
}

ModelInputs input_arguments(ProgramBuilder& builder, const BatchShape& shape) {
  TensorType type{DType::kS32, {{"b", shape.rows}, {"s", shape.length}}};
  auto arg = [&](int i) { return builder.arg(std::string(kBatchArguments[static_cast<size_t>(i)]), type); };
  Value inputs = arg(0);
  Value positions = arg(1);
  return {inputs, positions, arg(2)};
}

BatchValues batch_arguments(ProgramBuilder& builder, const BatchShape& shape) {
  ModelInputs in = input_arguments(builder, shape);
  TensorType type = in.tokens.type();
  Value targets = builder.arg(std::string(kBatchArguments[3]), type);
  return {in.tokens, in.positions, in.segments, targets, builder.arg(std::string(kBatchArguments[4]), type)};
}

Weights make_weights(const StateLayout& layout, std::span<const Value> parameters) {
  return {layout.model, layout.table, layout.arrays, parameters};
}

}  // namespace fathom
