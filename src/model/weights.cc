#include "model/weights.h"

#include <fmt/format.h>

#include <string>

#include "fused/dequantize.h"

namespace fathom {
namespace {

struct Slot {
  std::string_view name;
  Value& (*member)(LayerWeights&);
};

#define FATHOM_SLOT(path)                                    \
  {                                                          \
#path, [](LayerWeights & w) -> Value& { return w.path; } \
  }

// clang-format off
const Slot kSlots[] = {
    FATHOM_SLOT(pre_norm), FATHOM_SLOT(post_norm),
    FATHOM_SLOT(mla.wq), FATHOM_SLOT(mla.wq_a), FATHOM_SLOT(mla.q_norm), FATHOM_SLOT(mla.wq_b),
    FATHOM_SLOT(mla.wkv_a), FATHOM_SLOT(mla.kv_norm), FATHOM_SLOT(mla.wkv_b), FATHOM_SLOT(mla.wo),
    FATHOM_SLOT(mla.indexer.wq_b), FATHOM_SLOT(mla.indexer.wk), FATHOM_SLOT(mla.indexer.k_norm),
    FATHOM_SLOT(mla.indexer.k_norm_bias), FATHOM_SLOT(mla.indexer.weights_proj),
    FATHOM_SLOT(mlp.w_gate), FATHOM_SLOT(mlp.w_up), FATHOM_SLOT(mlp.w_down),
    FATHOM_SLOT(moe.router), FATHOM_SLOT(moe.router_bias),
    FATHOM_SLOT(moe.experts.w_gate), FATHOM_SLOT(moe.experts.w_up), FATHOM_SLOT(moe.experts.w_down),
    FATHOM_SLOT(moe.shared.w_gate), FATHOM_SLOT(moe.shared.w_up), FATHOM_SLOT(moe.shared.w_down),
    FATHOM_SLOT(embedding_norm), FATHOM_SLOT(hidden_norm), FATHOM_SLOT(final_norm), FATHOM_SLOT(projection),
};
// clang-format on

#undef FATHOM_SLOT

// Parameters outside of the layers.
struct OutsideSlot {
  std::string_view name;
  Value Weights::*member;
};
constexpr OutsideSlot kOutside[] = {{"embedding", &Weights::embedding},
                                    {"decoder.final_norm", &Weights::final_norm},
                                    {"decoder.logits", &Weights::logits}};

[[noreturn]] void no_member(std::string_view name) {
  throw GraphError(fmt::format("the model has no weight named {}", name));
}

Value& outside(Weights& weights, std::string_view name) {
  for (const OutsideSlot& s : kOutside) {
    if (s.name == name) return weights.*s.member;
  }
  no_member(name);
}

// Fills the member for the row `name` of the layer; `sharding` is null on one device.
void fill(LayerWeights& weights, std::string_view name, Value value, const Sharding* sharding) {
  Value* member = layer_slot(weights, name);
  if (member == nullptr) no_member(name);
  // Said of each layer's part, the split holds for its gradient too, before it is written into the stack.
  *member = sharding == nullptr ? value : shard(value, *sharding);
  if (sharding == nullptr) return;
  if (name == "moe.experts.w_gate") weights.moe.experts.gate_split = *sharding;
  if (name == "moe.experts.w_down") weights.moe.experts.down_split = *sharding;
}

Value whole(const StoredWeight& weight, const ParamArray& array) {
  return weight.scales ? dequantize(weight.value, weight.scales, array.type.dtype) : weight.value;
}

}  // namespace

Value* layer_slot(LayerWeights& weights, std::string_view name) {
  for (const Slot& s : kSlots) {
    if (s.name == name) return &s.member(weights);
  }
  return nullptr;
}

LayerWeights LayerStack::bind(std::span<const Value> slices) const {
  LayerWeights out;
  for (const Member& m : members_) {
    Value value = slices[m.at];
    if (m.scaled) value = dequantize(value, slices[m.at + 1], m.dtype);
    fill(out, m.name, value, m.sharding ? &*m.sharding : nullptr);
  }
  return out;
}

Weights::Weights(const ModelConfig& config, const std::vector<Param>& table, const std::vector<ParamArray>& arrays,
                 std::span<const StoredWeight> values) {
  if (values.size() != arrays.size()) {
    throw GraphError(fmt::format("{} weights for {} parameter arrays", values.size(), arrays.size()));
  }
  for (const Stack& stack : fathom::stacks(config)) {
    LayerStack& layers = stacks.emplace_back(stack);
    if (!config.scan_layers || stack.prediction) layers.layers_.resize(static_cast<size_t>(stack.count));
  }
  for (size_t i = 0; i < arrays.size(); ++i) {
    const ParamArray& array = arrays[i];
    const Param& row = table[array.row];
    const TensorType held{values[i].scales ? DType::kS8 : array.type.dtype, array.type.shape};
    if (values[i].value.type() != held) {
      throw GraphError(fmt::format("weight {} is {}, and must be {}", array.name, values[i].value.type().to_string(),
                                   held.to_string()));
    }
    if (row.stack) {
      add_to_stack(row, array, values[i]);
    } else {
      outside(*this, row.name) = whole(values[i], array);
    }
  }
}

void Weights::add_to_stack(const Param& row, const ParamArray& array, const StoredWeight& weight) {
  LayerStack& stack = stacks[*row.stack];
  std::string within = row.name.substr(stack.info().name.size() + 1);
  if (array.layer >= 0) {
    fill(stack.layers_[static_cast<size_t>(array.layer)], within, whole(weight, array), weight.sharding);
    return;
  }
  LayerStack::Member member{.name = std::move(within), .at = stack.stacked_.size(), .dtype = array.type.dtype};
  stack.stacked_.push_back(weight.value);
  if (weight.scales) stack.stacked_.push_back(weight.scales);
  member.scaled = static_cast<bool>(weight.scales);
  // The layer axis in front is never split.
  if (weight.sharding != nullptr) {
    member.sharding = Sharding{{weight.sharding->dims.begin() + 1, weight.sharding->dims.end()}};
  }
  stack.members_.push_back(std::move(member));
}

}  // namespace fathom
