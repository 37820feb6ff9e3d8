// The weights as typed structs of Values, filled by visiting the parameter table.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ops.h"
#include "model/params.h"

namespace fathom {

struct MlaWeights {
  Value wq;                  // [h np d], or, with query compression:
  Value wq_a, q_norm, wq_b;  // [r d], [r], [h np r]
  Value wkv_a, kv_norm;      // [cp d], [c]; cp: latent, then the rotated key
  Value wkv_b;               // [h nu c]; nu: plain key, then value
  Value wo;                  // [d h u]
  struct Indexer {
    Value wq_b, wk, k_norm, k_norm_bias, weights_proj;
  } indexer;
};

struct MlpWeights {
  Value w_gate, w_up;  // [f d], experts [e f d]
  Value w_down;        // [d f], experts [e d f]
  // How w_gate (as w_up) and w_down are split over the mesh; empty on one device.
  Sharding gate_split, down_split;
};

struct MoeWeights {
  Value router;       // [e d]
  Value router_bias;  // [e], null without bias
  MlpWeights experts;
  MlpWeights shared;  // null without shared experts
};

struct LayerWeights {
  Value pre_norm, post_norm;  // [d]
  MlaWeights mla;
  MlpWeights mlp;  // dense layers
  MoeWeights moe;  // the others
  // Of a module for multi-token prediction (model/mtp.h).
  Value embedding_norm, hidden_norm, final_norm;  // [d]
  Value projection;                               // [d dd]
};

// What a program has of a parameter's array.
struct StoredWeight {
  Value value;
  Value scales = {};                   // where the value is numbers of 8 bits (fused/dequantize.h)
  const Sharding* sharding = nullptr;  // null on one device
};

// Values that are used as they are, on one device.
inline std::vector<StoredWeight> stored(std::span<const Value> values) { return {values.begin(), values.end()}; }

// The layers of one stack.
class LayerStack {
 public:
  explicit LayerStack(Stack stack) : stack_(std::move(stack)) {}
  const Stack& info() const { return stack_; }
  int64_t count() const { return stack_.count; }
  // The scanned form: the arrays of its parameters, the layer axis "l" in front. Empty in the unscanned form.
  const std::vector<Value>& stacked() const { return stacked_; }
  // One layer's weights from the slices of stacked(), in its order.
  LayerWeights bind(std::span<const Value> slices) const;
  // Layer i of the unscanned form.
  const LayerWeights& layer(int64_t i) const { return layers_[static_cast<size_t>(i)]; }

 private:
  friend struct Weights;
  // A parameter of the scanned form.
  struct Member {
    std::string name;           // within the layer: "mla.wq_a"
    size_t at = 0;              // in stacked_; its scales, if it has any, come next
    DType dtype = DType::kF32;  // that it is used as
    bool scaled = false;
    std::optional<Sharding> sharding;  // of one layer's part; nothing on one device
  };

  Stack stack_;
  std::vector<Member> members_;
  std::vector<Value> stacked_;
  std::vector<LayerWeights> layers_;
};

struct Weights {
  Value embedding;                 // [v d]
  Value final_norm;                // [d]
  Value logits;                    // [v d]
  std::vector<LayerStack> stacks;  // in the order in which a token passes them

  // `values`: one for each of `arrays`, in their order and of their types. Throws GraphError for a row that no member
  // is for.
  Weights(const ModelConfig& config, const std::vector<Param>& table, const std::vector<ParamArray>& arrays,
          std::span<const StoredWeight> values);

 private:
  void add_to_stack(const Param& row, const ParamArray& array, const StoredWeight& weight);
};

// The member of a layer's weights that a row fills, by the row's name within the layer ("mla.wq_a"); null for an
// unknown name.
Value* layer_slot(LayerWeights& weights, std::string_view name);

}  // namespace fathom
