#include "model/weights.h"

#include <fmt/format.h>

#include <string>

namespace fathom {
namespace {

struct Slot {
  std::string_view name;
  Value& (*member)(LayerWeights&);
};

#define FATHOM_SLOT(path)                                    \
  Slot {                                                     \
#path, [](LayerWeights & w) -> Value& { return w.path; } \
  }

const Slot kSlots[] = {
    FATHOM_SLOT(pre_norm),
    FATHOM_SLOT(post_norm),
    FATHOM_SLOT(mla.wq),
    FATHOM_SLOT(mla.wq_a),
    FATHOM_SLOT(mla.q_norm),
    FATHOM_SLOT(mla.wq_b),
    FATHOM_SLOT(mla.wkv_a),
    FATHOM_SLOT(mla.kv_norm),
    FATHOM_SLOT(mla.wkv_b),
    FATHOM_SLOT(mla.wo),
    FATHOM_SLOT(mla.indexer.wq_b),
    FATHOM_SLOT(mla.indexer.wk),
    FATHOM_SLOT(mla.indexer.k_norm),
    FATHOM_SLOT(mla.indexer.k_norm_bias),
    FATHOM_SLOT(mla.indexer.weights_proj),
    FATHOM_SLOT(mlp.w_gate),
    FATHOM_SLOT(mlp.w_up),
    FATHOM_SLOT(mlp.w_down),
    FATHOM_SLOT(moe.router),
    FATHOM_SLOT(moe.router_bias),
    FATHOM_SLOT(moe.experts.w_gate),
    FATHOM_SLOT(moe.experts.w_up),
    FATHOM_SLOT(moe.experts.w_down),
    FATHOM_SLOT(moe.shared.w_gate),
    FATHOM_SLOT(moe.shared.w_up),
    FATHOM_SLOT(moe.shared.w_down),
};

#undef FATHOM_SLOT

Value& slot(LayerWeights& weights, std::string_view name) {
  Value* found = layer_slot(weights, name);
  if (found == nullptr) throw GraphError(fmt::format("no layer has a weight named {}", name));
  return *found;
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
  for (size_t i = 0; i < names_.size(); ++i) {
    // Said of each layer's part, the split holds for its gradient too, before it is written into the stack.
    slot(out, names_[i]) = shardings_.empty() ? slices[i] : shard(slices[i], shardings_[i]);
  }
  return out;
}

Weights::Weights(const ModelConfig& config, const std::vector<Param>& table, const std::vector<ParamArray>& arrays,
                 std::span<const Value> values, std::span<const Sharding> shardings) {
  if (values.size() != arrays.size()) {
    throw GraphError(fmt::format("{} weights for {} parameter arrays", values.size(), arrays.size()));
  }
  for (auto [stack, kind] : {std::pair{&dense, Stack::kDense}, std::pair{&moe, Stack::kMoe}}) {
    stack->count_ = stack_info(config, kind).count;
    if (!config.scan_layers) stack->layers_.resize(static_cast<size_t>(stack->count_));
  }
  for (size_t i = 0; i < arrays.size(); ++i) {
    const ParamArray& array = arrays[i];
    const Param& row = table[array.row];
    if (values[i].type() != array.type) {
      throw GraphError(fmt::format("weight {} is {}, and must be {}", array.name, values[i].type().to_string(),
                                   array.type.to_string()));
    }
    if (row.stack == Stack::kNone) {
      (row.name == "embedding" ? embedding : row.name == "decoder.final_norm" ? final_norm : logits) = values[i];
      continue;
    }
    LayerStack& stack = row.stack == Stack::kDense ? dense : moe;
    std::string within = row.name.substr(stack_info(config, row.stack).name.size() + 1);
    if (array.layer >= 0) {
      slot(stack.layers_[static_cast<size_t>(array.layer)], within) =
          shardings.empty() ? values[i] : shard(values[i], shardings[i]);
    } else {
      stack.names_.push_back(std::move(within));
      stack.stacked_.push_back(values[i]);
      if (shardings.empty()) continue;
      const auto& dims = shardings[i].dims;  // the layer axis in front is never split
      stack.shardings_.push_back({{dims.begin() + 1, dims.end()}});
    }
  }
}

}  // namespace fathom
