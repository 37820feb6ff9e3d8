#include "program/builder.h"

namespace fathom {

ProgramBuilder::ProgramBuilder(std::string name, Precision precision, const StateSpec& state) : spec_(state) {
  program_.name = std::move(name);
  program_.graph = std::make_unique<Graph>();
  program_.graph->precision = precision;
  program_.graph->partition = spec_.partition;
  if (spec_.partition) program_.signature.mesh = spec_.partition->mesh();
}

Value ProgramBuilder::arg(std::string name, TensorType type, Sharding sharding) {
  args_.emplace(name, program_.signature.args.size());
  program_.signature.args.push_back({.name = name, .type = type, .sharding = std::move(sharding), .donated_to = {}});
  return graph().arg(std::move(name), std::move(type));
}

std::vector<Value> ProgramBuilder::state(const StateChoice& choice) {
  std::vector<Value> out;
  for (const StateEntry& e : spec_.entries) out.push_back(choice(e) ? arg(e.name, e.type, e.sharding) : Value());
  return out;
}

BatchFields<Value> ProgramBuilder::batch(const BatchShape& shape, bool model_only) {
  const ArgSpec spec = batch_argument(spec_, shape);
  BatchFields<Value> out;
  for (const auto& field : out.fields()) {
    if (field.read_by_model || !model_only) {
      out.*field.member = arg(std::string(field.name), spec.type, spec.sharding);
    }
  }
  return out;
}

void ProgramBuilder::result(std::string name, Value value, Sharding sharding) {
  program_.signature.results.push_back(
      {.name = std::move(name), .type = value.type(), .sharding = std::move(sharding)});
  graph().root().results.push_back(value);
}

void ProgramBuilder::state_result(const StateEntry& entry, Value value) {
  donated_result(entry.name, value, entry.sharding);
}

void ProgramBuilder::donated_result(const std::string& name, Value value, const Sharding& sharding) {
  if (auto donor = args_.find(name); donor != args_.end()) {
    program_.signature.args[donor->second].donated_to = static_cast<int>(program_.signature.results.size());
  }
  result(name, value, sharding);
}

void ProgramBuilder::scalars(std::string name, const ValuesByName& values) {
  std::vector<Value> parts;
  std::vector<std::string> elements;
  for (const auto& [element, value] : values) {
    elements.push_back(element);
    parts.push_back(expand(value, "i"));
  }
  result(std::move(name), concatenate(parts, "i"));
  program_.signature.results.back().elements = std::move(elements);
}

ArgSpec batch_argument(const StateSpec& state, const BatchShape& shape) {
  TensorType type{DType::kS32, {{"b", shape.rows}, {"s", shape.length}}};
  Sharding split = state.partition ? state.partition->activation(type.shape) : Sharding{};
  return {.name = {}, .type = std::move(type), .sharding = std::move(split), .donated_to = {}};
}

BatchShape filled_for_mesh(const StateSpec& state, const BatchShape& shape) {
  if (!state.partition) return shape;
  auto filled = [&](int64_t size, std::string_view axis) {
    const int64_t parts = state.partition->devices(state.partition->activation_axes(axis));
    return (size + parts - 1) / parts * parts;
  };
  return {filled(shape.rows, "b"), filled(shape.length, "s")};
}

ModelInputs model_inputs(const BatchFields<Value>& batch) {
  return {batch.inputs, batch.inputs_position, batch.inputs_segmentation};
}

Weights make_weights(const StateSpec& spec, std::span<const Value> state) {
  std::vector<StoredWeight> values;
  for (size_t i : spec.parameters()) {
    StoredWeight& weight = values.emplace_back(StoredWeight{.value = state[i]});
    if (spec.entries[i].is_int8()) weight.scales = state[spec.scales(i)];
    if (spec.partition) weight.sharding = &spec.entries[i].sharding;
  }
  return {spec.model, spec.table, spec.arrays, values};
}

Value at_places(Value x, Value at) {
  Value own = equal(one_hot(at, {"s", x.size("s")}, DType::kS32), 1);
  return reduce_sum(select(broadcast(own, x.shape()), x, 0), "s");
}

}  // namespace fathom
