#include "model/params.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace fathom {
namespace {

// In front of the names in MaxText's tree of a module for prediction.
constexpr std::string_view kPeerModule = "mtp_block.mtp_layer_{module}.mtp_{module}_";

// Writes the rows. The peer's names and logical axes are those of MaxText 0.2.5.
class Table {
 public:
  explicit Table(const ModelConfig& c) : c_(c), stacks_(stacks(c)) {}

  std::vector<Param> make() {
    outside("embedding", {{"v", c_.vocab}, {"d", c_.d}}, {"vocab", "embed_vocab"}, "model.embed_tokens.weight",
            "token_embedder.embedding", "v d")
        .init = Init::kNormal;
    rows_.back().hf_copies = copies("embed_tokens.weight");
    for (stack_index_ = 0; stack_index_ < stacks_.size(); ++stack_index_) layers();
    norm(
        outside("decoder.final_norm", {{"d", c_.d}}, {"norm"}, "model.norm.weight", "decoder.decoder_norm.scale", "d"));
    outside("decoder.logits", {{"v", c_.vocab}, {"d", c_.d}}, {"vocab", "embed_vocab"}, "lm_head.weight",
            "decoder.logits_dense.kernel", "d v");
    rows_.back().hf_copies = copies("shared_head.head.weight");
    return std::move(rows_);
  }

 private:
  // A parameter outside the layers. The last axis is the input of a projection.
  Param& outside(std::string name, Shape shape, std::vector<std::string> logical, std::string hf, std::string peer,
                 std::string peer_axes) {
    Param p{.name = std::move(name), .type = {c_.weight_dtype, std::move(shape)}, .logical = std::move(logical)};
    p.fan_in = p.type.shape[p.type.shape.rank() - 1].size;
    p.hf = std::move(hf);
    p.hf_sizes = p.type.shape.sizes();
    p.peer = std::move(peer);
    p.peer_axes = std::move(peer_axes);
    rows_.push_back(std::move(p));
    return rows_.back();
  }

  // Names of a tensor that each module for prediction repeats.
  std::vector<std::string> copies(std::string_view leaf) const {
    std::vector<std::string> out;
    for (int64_t i = 0; i < c_.prediction_layers; ++i) {
      out.push_back(fmt::format("model.layers.{}.{}", c_.layers + i, leaf));
    }
    return out;
  }

  // A parameter of each layer of the current stack; `hf` and `peer` are relative to the layer.
  Param& layer(std::string_view name, Shape shape, std::vector<std::string> logical, std::string_view hf,
               std::string_view peer, std::string peer_axes) {
    const Stack& stack = stacks_[stack_index_];
    const std::string peer_layer = stack.prediction ? fmt::format("{}transformer_layer", kPeerModule) : stack.name;
    Param& p = outside(fmt::format("{}.{}", stack.name, name), std::move(shape), std::move(logical),
                       fmt::format("model.layers.{{layer}}.{}", hf), fmt::format("{}.{}", peer_layer, peer),
                       std::move(peer_axes));
    p.stack = stack_index_;
    return p;
  }

  // A parameter of a module for prediction beside its layer.
  Param& module(std::string_view name, Shape shape, std::vector<std::string> logical, std::string_view hf,
                std::string_view peer, std::string peer_axes) {
    Param& p = layer(name, std::move(shape), std::move(logical), hf, "", std::move(peer_axes));
    p.peer = fmt::format("{}{}", kPeerModule, peer);
    return p;
  }

  static void norm(Param& p) { p.init = Init::kOnes; }

  // The released checkpoints hold matrices: what we split into axes is merged there. `rows` leading axes are the rows.
  static void matrix(Param& p, int rows) {
    int64_t high = 1, low = 1;
    for (int i = 0; i < p.type.shape.rank(); ++i) (i < rows ? high : low) *= p.type.shape[i].size;
    p.hf_sizes = {high, low};
    p.fan_in = low;
  }

  // What joins the embedding of the next token with the hidden state (V3 report, eq. 21). The embedding stands in front
  // in the released checkpoints, the other way round in the paper.
  void prediction() {
    const Axis d{"d", c_.d};
    norm(module("embedding_norm", {d}, {"norm"}, "enorm.weight", "embedding_norm.scale", "d"));
    norm(module("hidden_norm", {d}, {"norm"}, "hnorm.weight", "hidden_state_norm.scale", "d"));
    module("projection", {d, {"dd", 2 * c_.d}}, {"", "embed"}, "eh_proj.weight", "projection.kernel", "dd d");
    norm(module("final_norm", {d}, {"norm"}, "shared_head.norm.weight", "final_norm.scale", "d"));
  }

  void layers() {
    if (stacks_[stack_index_].prediction) prediction();
    norm(layer("pre_norm", {{"d", c_.d}}, {"norm"}, "input_layernorm.weight", "pre_self_attention_layer_norm.scale",
               "d"));
    attention();
    if (c_.indexer) indexer();
    norm(layer("post_norm", {{"d", c_.d}}, {"norm"}, "post_attention_layernorm.weight",
               "post_self_attention_layer_norm.scale", "d"));
    if (stacks_[stack_index_].kind == LayerKind::kDense) {
      mlp("mlp", c_.mlp_dim, "mlp", "mlp.");
    } else {
      experts();
      if (c_.shared_experts > 0)
        mlp("moe.shared", c_.shared_dim(), "mlp.shared_experts", "DeepSeekMoeBlock_0.shared_experts.");
    }
  }

  void attention() {
    const Axis d{"d", c_.d}, h{"h", c_.heads}, np{"np", c_.head_dim()}, r{"r", c_.q_rank}, c{"c", c_.kv_rank};
    auto peer = [](std::string_view leaf) { return fmt::format("self_attention.{}", leaf); };
    if (c_.q_rank == 0) {
      matrix(layer("mla.wq", {h, np, d}, {"q_heads", "kv", "embed_attn"}, "self_attn.q_proj.weight",
                   peer("query.kernel"), "d h np"),
             2);
    } else {
      layer("mla.wq_a", {r, d}, {"q_lora_up_proj", "embed_attn"}, "self_attn.q_a_proj.weight", peer("wq_a.kernel"),
            "d r");
      norm(layer("mla.q_norm", {r}, {"norm"}, "self_attn.q_a_layernorm.weight", peer("q_norm.scale"), "r"));
      matrix(layer("mla.wq_b", {h, np, r}, {"q_heads", "kv", "q_lora"}, "self_attn.q_b_proj.weight",
                   peer("wq_b.kernel"), "r h np"),
             2);
    }
    layer("mla.wkv_a", {{"cp", c_.kv_rank + c_.rope_dim}, d}, {"kv_lora_up_proj", "embed_attn"},
          "self_attn.kv_a_proj_with_mqa.weight", peer("wkv_a.kernel"), "d cp");
    norm(layer("mla.kv_norm", {c}, {"norm"}, "self_attn.kv_a_layernorm.weight", peer("kv_norm.scale"), "c"));
    matrix(layer("mla.wkv_b", {h, {"nu", c_.nope + c_.value_dim}, c}, {"kv_heads", "kv_head_dim", "kv_lora"},
                 "self_attn.kv_b_proj.weight", peer("wkv_b.kernel"), "c h nu"),
           2);
    matrix(layer("mla.wo", {d, h, {"u", c_.value_dim}}, {"embed_attn", "heads", "kv"}, "self_attn.o_proj.weight",
                 peer("out.kernel"), "h u d"),
           1);
  }

  void indexer() {
    const Axis d{"d", c_.d}, h{"hi", c_.indexer_heads}, w{"di", c_.indexer_dim};
    auto peer = [](std::string_view leaf) { return fmt::format("self_attention.indexer.{}", leaf); };
    Param& wq = layer("mla.indexer.wq_b", {h, w, {"r", c_.q_rank}}, {"q_heads", "kv", "q_lora"},
                      "self_attn.indexer.wq_b.weight", peer("wq_b.kernel"), "r hi di");
    matrix(wq, 2);
    wq.init = Init::kNormalFanIn;
    layer("mla.indexer.wk", {w, d}, {"kv", "embed_attn"}, "self_attn.indexer.wk.weight", peer("wk.kernel"), "d di")
        .init = Init::kNormalFanIn;
    norm(layer("mla.indexer.k_norm", {w}, {""}, "self_attn.indexer.k_norm.weight", peer("k_norm.scale"), "di"));
    layer("mla.indexer.k_norm_bias", {w}, {""}, "self_attn.indexer.k_norm.bias", peer("k_norm.bias"), "di").init =
        Init::kZeros;
    Param& weights = layer("mla.indexer.weights_proj", {h, d}, {"q_heads", "embed_attn"},
                           "self_attn.indexer.weights_proj.weight", peer("weights_proj.kernel"), "d hi");
    weights.init = Init::kNormalFanIn;
    weights.type.dtype = DType::kF32;
  }

  void mlp(std::string_view name, int64_t width, std::string_view hf, std::string_view peer_prefix) {
    const Axis d{"d", c_.d}, f{"f", width};
    auto peer = [&](std::string_view leaf) { return fmt::format("{}{}", peer_prefix, leaf); };
    layer(fmt::format("{}.w_gate", name), {f, d}, {"mlp", "embed"}, fmt::format("{}.gate_proj.weight", hf),
          peer("wi_0.kernel"), "d f");
    layer(fmt::format("{}.w_up", name), {f, d}, {"mlp", "embed"}, fmt::format("{}.up_proj.weight", hf),
          peer("wi_1.kernel"), "d f");
    layer(fmt::format("{}.w_down", name), {d, f}, {"embed", "mlp"}, fmt::format("{}.down_proj.weight", hf),
          peer("wo.kernel"), "f d");
  }

  void experts() {
    const Axis d{"d", c_.d}, e{"e", c_.experts}, f{"f", c_.moe_mlp_dim};
    auto peer = [](std::string_view leaf) { return fmt::format("DeepSeekMoeBlock_0.MoeBlock_0.{}", leaf); };
    layer("moe.router", {e, d}, {"", "embed_router"}, "mlp.gate.weight", peer("gate.kernel"), "d e");
    if (c_.router_bias) {
      Param& bias = layer("moe.router_bias", {e}, {""}, "mlp.gate.e_score_correction_bias", peer("gate.bias"), "e");
      bias.type.dtype = DType::kF32;
      bias.init = Init::kZeros;
      bias.hf_float32 = true;
      bias.peer_layer_axis = 0;
      bias.trained = false;
    }
    auto expert = [&](std::string_view name, const Axis& out, const Axis& in, std::vector<std::string> logical,
                      std::string_view hf, std::string_view peer_name, std::string peer_axes) {
      Param& p = layer(fmt::format("moe.experts.{}", name), {e, out, in}, std::move(logical),
                       fmt::format("mlp.experts.{{expert}}.{}.weight", hf), peer(peer_name), std::move(peer_axes));
      p.hf_sizes = {out.size, in.size};
      p.routed = true;
    };
    expert("w_gate", f, d, {"exp", "mlp_moe", "embed_moe"}, "gate_proj", "wi_0", "e d f");
    expert("w_up", f, d, {"exp", "mlp_moe", "embed_moe"}, "up_proj", "wi_1", "e d f");
    expert("w_down", d, f, {"exp", "embed_moe", "mlp_moe"}, "down_proj", "wo", "e f d");
  }

  const ModelConfig& c_;
  const std::vector<Stack> stacks_;
  size_t stack_index_ = 0;  // whose rows are being written
  std::vector<Param> rows_;
};

std::string array_name(const Stack& stack, const Param& p, int64_t layer) {
  return fmt::format("{}.{}{}", stack.name, layer, std::string_view(p.name).substr(stack.name.size()));
}

}  // namespace

std::vector<Stack> stacks(const ModelConfig& c) {
  std::vector<Stack> out = {
      {LayerKind::kDense, "decoder.dense_layers", "dense", "dense_layers", 0, c.dense_layers},
      {LayerKind::kMoe, "decoder.moe_layers", "moe", "moe_layers", c.dense_layers, c.moe_layers()},
      {LayerKind::kMoe, "mtp", "mtp", "", c.layers, c.prediction_layers, true}};
  std::erase_if(out, [](const Stack& stack) { return stack.count == 0; });
  return out;
}

bool quantizable(const Param& row) {
  return row.init == Init::kTruncatedFanIn && row.type.shape.rank() > 1 && !row.name.ends_with(".moe.router");
}

std::string peer_path(const Param& row) {
  std::string path = fmt::format(fmt::runtime(row.peer), fmt::arg("module", 1));
  std::replace(path.begin(), path.end(), '.', '/');
  return path;
}

std::vector<Param> param_table(const ModelConfig& config) { return Table(config).make(); }

std::vector<ParamArray> param_arrays(const ModelConfig& config, const std::vector<Param>& table) {
  const std::vector<Stack> all = stacks(config);
  std::vector<ParamArray> out;
  for (size_t row = 0; row < table.size(); ++row) {
    const Param& p = table[row];
    if (!p.stack) {
      out.push_back({p.name, p.type, row, -1, p.logical});
      continue;
    }
    const Stack& stack = all[*p.stack];
    if (!config.scan_layers || stack.prediction) {
      for (int64_t i = 0; i < stack.count; ++i) out.push_back({array_name(stack, p, i), p.type, row, i, p.logical});
      continue;
    }
    std::vector<Axis> axes{{"l", stack.count}};
    axes.insert(axes.end(), p.type.shape.begin(), p.type.shape.end());
    std::vector<std::string> logical{stack.layer_axis};
    logical.insert(logical.end(), p.logical.begin(), p.logical.end());
    out.push_back({p.name, {p.type.dtype, Shape(std::move(axes))}, row, -1, std::move(logical)});
  }
  return out;
}

ParamCount count_params(const ModelConfig& config, const std::vector<Param>& table) {
  const std::vector<Stack> all = stacks(config);
  ParamCount n;
  for (const Param& p : table) {
    int64_t layers = p.stack ? all[*p.stack].count : 1;
    int64_t elements = layers * p.type.shape.elements();
    n.parameters += elements;
    n.bytes += layers * p.type.bytes();
    n.active += p.routed ? elements / config.experts * config.top_k : elements;
  }
  return n;
}

FlopCount train_flops_per_token(const ModelConfig& c, int64_t length) {
  auto f = [](int64_t x) { return static_cast<double>(x); };
  const double d = f(c.d), h = f(c.heads), q = f(c.q_rank), kv = f(c.kv_rank), layers = f(c.all_layers());
  const double dense = 6 * f(c.mlp_dim) * d;
  const double sparse = 2 * d * f(c.experts) + 6 * f(c.moe_mlp_dim) * d * f(c.shared_experts + c.top_k);
  const double query = c.q_rank == 0 ? 2 * d * h * f(c.head_dim()) : 2 * (d * q + q * h * f(c.head_dim()));
  const double keys = 2 * (d * (kv + f(c.rope_dim)) + kv * h * f(c.nope + c.value_dim));
  const double out = 2 * d * h * f(c.value_dim);
  double weights = f(c.dense_layers) * dense + f(c.all_moe_layers()) * sparse + layers * (query + keys + out);
  // A module for prediction has a projection, and the head once more.
  weights += 2 * d * f(c.vocab) * f(1 + c.prediction_layers) + 4 * d * d * f(c.prediction_layers);
  double attention = 2 * f(length) * h * f(c.head_dim() + c.value_dim) / 2;
  if (c.indexer && length > c.indexer_top_k) {
    // Of a row's keys top_k at most are met: k/S - (k/S)^2 / 2 of the square instead of half. The scores of the indexer
    // itself are causal.
    const double part = f(c.indexer_top_k) / f(length);
    attention *= 2 * (part - 0.5 * part * part);
    const double hi = f(c.indexer_heads), di = f(c.indexer_dim);
    weights += layers * 2 * (q * hi * di + d * di + d * hi);
    attention += (2 * f(length) * hi * di + 2 * f(length) * hi) / 2;
  }
  return {3 * weights, 3 * layers * attention};
}

}  // namespace fathom
