#include "program/builder.h"

namespace fathom {

ProgramBuilder::ProgramBuilder(std::string name, Precision precision, const StateLayout& layout) {
  program_.name = std::move(name);
  program_.graph = std::make_unique<Graph>();
  program_.graph->precision = precision;
  program_.graph->partition = layout.partition;
  if (layout.partition) program_.signature.mesh = layout.partition->mesh();
}

Value ProgramBuilder::arg(std::string name, TensorType type, Sharding sharding) {
  program_.signature.args.push_back({.name = name, .type = type, .sharding = std::move(sharding), .donated_to = {}});
  return graph().arg(std::move(name), std::move(type));
}

std::vector<Value> ProgramBuilder::parameters(const StateLayout& layout) {
  std::vector<Value> out;
  for (size_t i = 0; i < layout.arrays.size(); ++i) {
    out.push_back(arg(layout.arrays[i].name, layout.arrays[i].type, layout.shardings[i]));
  }
  return out;
}

void ProgramBuilder::result(std::string name, Value value, Sharding sharding) {
  program_.signature.results.push_back(
      {.name = std::move(name), .type = value.type(), .sharding = std::move(sharding)});
  graph().root().results.push_back(value);
}

void ProgramBuilder::result_in(size_t donor, std::string name, Value value) {
  Signature& s = program_.signature;
  s.args[donor].donated_to = static_cast<int>(s.results.size());
  result(std::move(name), value, s.args[donor].sharding);
}

namespace {

Sharding batch_sharding(ProgramBuilder& builder, const Shape& shape) {
  const auto& partition = builder.graph().partition;
  return partition ? partition->activation(shape) : Sharding{};
}

}  // namespace

ModelInputs input_arguments(ProgramBuilder& builder, const BatchShape& shape) {
  TensorType type{DType::kS32, {{"b", shape.rows}, {"s", shape.length}}};
  Sharding rows = batch_sharding(builder, type.shape);
  auto arg = [&](int i) { return builder.arg(std::string(kBatchArguments[static_cast<size_t>(i)]), type, rows); };
  Value inputs = arg(0);
  Value positions = arg(1);
  return {inputs, positions, arg(2)};
}

BatchValues batch_arguments(ProgramBuilder& builder, const BatchShape& shape) {
  ModelInputs in = input_arguments(builder, shape);
  TensorType type = in.tokens.type();
  Sharding rows = batch_sharding(builder, type.shape);
  Value targets = builder.arg(std::string(kBatchArguments[3]), type, rows);
  return {in.tokens, in.positions, in.segments, targets, builder.arg(std::string(kBatchArguments[4]), type, rows)};
}

Weights make_weights(const StateLayout& layout, std::span<const Value> parameters) {
  return {layout.model, layout.table, layout.arrays, parameters,
          layout.partition ? std::span(layout.shardings) : std::span<const Sharding>()};
}

}  // namespace fathom
