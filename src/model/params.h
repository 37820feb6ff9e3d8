// The parameter table: one row a parameter. Initialisation, sharding, the optimizer, loaders, converters and the counts
// all visit it; no other place knows a parameter's shape, or lists their names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/shape.h"
#include "model/model_config.h"

namespace fathom {

// What a layer's feed-forward half is.
enum class LayerKind : uint8_t { kDense, kMoe };

// A run of equal layers. A parameter of a stack exists once for each of its layers.
struct Stack {
  LayerKind kind = LayerKind::kDense;
  std::string name;        // of its parameters: "decoder.moe_layers"
  std::string label;       // of what its layers give: "moe"
  std::string layer_axis;  // logical name of the layer axis in the sharding rules: "moe_layers"
  int64_t first = 0;       // which layers of the model they are: [first, first + count)
  int64_t count = 0;
  // Modules for multi-token prediction (V3 report, section 2.2): behind the last layer, each with projection and norms
  // of its own, and never stacked.
  bool prediction = false;
};

// The stacks that have layers, in the order in which a token passes them; modules for prediction last.
std::vector<Stack> stacks(const ModelConfig& config);

// How a parameter starts. Both fan-in forms have variance 1 / fan_in (MaxText's initialisers, maxtext 0.2.5).
enum class Init : uint8_t {
  kTruncatedFanIn,  // normal cut at two standard deviations, rescaled to the full variance
  kNormalFanIn,
  kNormal,  // standard deviation 1
  kOnes,
  kZeros,
};

struct Param {
  // "decoder.moe_layers.mla.wq_a"; an array of one layer of the unscanned form is "decoder.moe_layers.3.mla.wq_a".
  std::string name;
  // One layer's tensor with named axes, in the dtype in which it is stored: weight_dtype, or float32 where the row says
  // so. Projections are [out, in] as in the released checkpoints.
  TensorType type;
  // Index in stacks(); nothing for a parameter outside of the layers.
  std::optional<size_t> stack;
  // Whether it holds a matrix for each routed expert: the first axis counts them.
  bool routed = false;
  // For each axis its logical name in the sharding rules ("embed_attn"); empty: never split.
  std::vector<std::string> logical;

  Init init = Init::kTruncatedFanIn;
  int64_t fan_in = 0;

  // Name in a Hugging Face folder, "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight": {layer} counts all
  // layers of the model; {expert} stands for the first axis, of which each index is a tensor of its own.
  std::string hf;
  // Its sizes there; the elements stand in the same order, so that no transpose is needed.
  std::vector<int64_t> hf_sizes;
  // Whether it is float32 there, whatever the other tensors are.
  bool hf_float32 = false;
  // Names under which a folder may hold it again: a module for prediction repeats embedding and head.
  std::vector<std::string> hf_copies;

  // Path in MaxText's tree below params/params, joined with dots: "decoder.moe_layers.self_attention.wq_a.kernel"; a
  // module for prediction has {module}, which counts from 1.
  std::string peer;
  // Our axes in the order of MaxText's array of one layer: "d r".
  std::string peer_axes;
  // Position of the layer axis in MaxText's scanned array: param_scan_axis (-1), or fixed by its code.
  int peer_layer_axis = -1;

  // Whether the optimizer moves it. The router bias is moved by the loss-free balancing rule alone.
  bool trained = true;
};

// Its path in MaxText's tree as regular expressions of keys see it: "decoder/moe_layers/self_attention/wq_a/kernel"; of
// modules for prediction that of the first.
std::string peer_path(const Param& row);

// Whether quantize_weights acts on it: a matrix of which a token reads whole rows, each of `fan_in` numbers. Routers
// and indexers stay as they are: their scores choose.
bool quantizable(const Param& row);

// All rows, in the order in which programs take them.
std::vector<Param> param_table(const ModelConfig& config);

// One array of a program: a whole stack with the layer axis "l" in front (scan_layers), one layer's tensor, or a
// parameter outside the stacks.
struct ParamArray {
  std::string name;
  TensorType type;
  size_t row = 0;      // in the table
  int64_t layer = -1;  // in its stack; -1: the whole stack, or none
  // Logical names of the axes.
  std::vector<std::string> logical;
};
std::vector<ParamArray> param_arrays(const ModelConfig& config, const std::vector<Param>& table);

// ---- counts ----

struct ParamCount {
  int64_t parameters = 0;
  int64_t bytes = 0;   // as stored
  int64_t active = 0;  // that one token meets: top_k of the routed experts
};
ParamCount count_params(const ModelConfig& config, const std::vector<Param>& table);

// Floating-point operations of one training step per token (three times the forward pass), as MaxText's log line counts
// them (maxtext_utils.calculate_tflops_training_per_device): products only, causal attention as half of the square.
struct FlopCount {
  double weights = 0;    // products with parameters
  double attention = 0;  // queries with keys, weights with values
  double total() const { return weights + attention; }
};
FlopCount train_flops_per_token(const ModelConfig& config, int64_t length);

}  // namespace fathom
