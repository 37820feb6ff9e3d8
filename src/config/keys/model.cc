// Keys of the model: dimensions, multi-head latent attention, rotary embedding.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kSameProduct = "only the order of the rotated dimensions: the products are the same";
constexpr std::string_view kHeadDim = "multi-head latent attention has its own head sizes";
constexpr std::string_view kComputeOrder = "another order of the same computation";
constexpr std::string_view kOtherAttention = "belongs to attention kernels that are not chosen here";
constexpr std::string_view kAttentionKernel = "the kernel of attention is chosen by `attention` and `kernels`";
constexpr std::string_view kQkClip = "clipping of query and key weights is not built";
constexpr std::string_view kSoftCap = "no DeepSeek model caps its logits";
constexpr std::string_view kFusedWeights = "another layout of the weights than DeepSeek's checkpoints have";
constexpr std::string_view kBias = "no DeepSeek model has these biases";
constexpr std::string_view kActivation = "the MLP is silu(x W0) * (x W1)";
constexpr std::string_view kInit = "another initialisation than DeepSeek's";
constexpr std::string_view kOtherFamily = "belongs to other model families";
constexpr std::string_view kOtherRope = "rotary embedding of other model families";

constexpr KeyRow kRows[] = {
    {"decoder_block", bind<&Config::decoder_block>, "deepseek", kBuilt, "the family of the decoder"},
    {"global_parameter_scale", bind<&Config::global_parameter_scale>, "1", kBuilt,
     "a power of two that scales the base_* dimensions as the peer does", kPowers},
    {"base_emb_dim", bind<&Config::base_emb_dim>, "2048", kBuilt, "width of the hidden state", kSize},
    {"base_mlp_dim", bind<&Config::base_mlp_dim>, "7168", kBuilt, "width of the dense layers' MLP", kSize},
    {"base_moe_mlp_dim", bind<&Config::base_moe_mlp_dim>, "-1", kBuilt,
     "width of one routed expert and of one shared expert", kCountOrMinusOne},
    {"base_num_query_heads", bind<&Config::base_num_query_heads>, "16", kBuilt, "attention heads", kSize},
    {"base_num_kv_heads", bind<&Config::base_num_kv_heads>, "16", kBuilt,
     "must equal base_num_query_heads: every head has its key and value", kSize},
    {"base_num_decoder_layers", bind<&Config::base_num_decoder_layers>, "16", kBuilt, "layers, dense ones included",
     kLayers},
    {"first_num_dense_layers", bind<&Config::first_num_dense_layers>, "0", kBuilt, "leading layers with a dense MLP",
     kLayersOrNone},
    {"vocab_size", bind<&Config::vocab_size>, "32000", kBuilt, "rows of the embedding", kVocabulary},
    {"normalization_layer_epsilon", bind<&Config::normalization_layer_epsilon>, "1.0e-05", kBuilt,
     "epsilon of every RMSNorm", kEpsilon},
    {"scan_layers", bind<&Config::scan_layers>, "true", kBuilt,
     "layers stacked and scanned; false = unrolled, parameters one by one"},
    {"attention", bind<&Config::attention>, "autoselected", kBuilt,
     "`dot_product`, `flash` (blockwise, online softmax), or chosen by length"},
    {"attention_type", bind<&Config::attention_type>, "mla", kBuilt, "multi-head latent attention"},
    {"q_lora_rank", bind<&Config::q_lora_rank>, "0", kBuilt, "rank of the compressed query; 0 = direct projection",
     kSizeOrNone},
    {"kv_lora_rank", bind<&Config::kv_lora_rank>, "512", kBuilt, "rank of the compressed key and value", kSize},
    {"qk_nope_head_dim", bind<&Config::qk_nope_head_dim>, "128", kBuilt, "part of a query or key head without rotation",
     kSize},
    {"qk_rope_head_dim", bind<&Config::qk_rope_head_dim>, "64", kBuilt,
     "rotated part of a query head; the rotated key is shared by the heads", kSize},
    {"v_head_dim", bind<&Config::v_head_dim>, "128", kBuilt, "width of a value head", kSize},
    {"rope_type", bind<&Config::rope_type>, "default", kBuilt, "`default` or `yarn`"},
    {"rope_max_timescale", bind<&Config::rope_max_timescale>, "10000", kBuilt, "theta of the rotary embedding", kTheta},
    {"max_position_embeddings", bind<&Config::max_position_embeddings>, "163840", kBuilt,
     "longest position the model is meant for", kSize},
    {"original_max_position_embeddings", bind<&Config::original_max_position_embeddings>, "4096", kBuilt,
     "yarn: length before stretching", kSize},
    {"rope_factor", bind<&Config::rope_factor>, "40", kBuilt, "yarn: stretching factor", kPositive},
    {"beta_fast", bind<&Config::beta_fast>, "32", kBuilt, "yarn: rotations above which a frequency is kept", kPositive},
    {"beta_slow", bind<&Config::beta_slow>, "1", kBuilt,
     "yarn: rotations below which a frequency is divided by rope_factor", kPositive},
    {"mscale", bind<&Config::mscale>, "1.0", kBuilt, "yarn: scale of cos and sin over that of mscale_all_dim", kFactor},
    {"mscale_all_dim", bind_optional_float<&Config::mscale_all_dim>, "null", kBuilt,
     "yarn: scale of the softmax, (0.1 m ln(rope_factor) + 1)^2; none = mscale", kFactor},
    {"rope_interleave", bind<&Config::rope_interleave>, "true", kRefused,
     "pairs are neighbouring dimensions (2i, 2i+1); other pairs are not built"},
    {"rope_truncate", bind<&Config::rope_truncate>, "true", kBuilt,
     "yarn: the ramp begins and ends on whole dimensions"},
    {"rope_attention_scaling", bind<&Config::rope_attention_scaling>, "false", kBuilt,
     "yarn: cos and sin are multiplied by 0.1 ln(rope_factor) + 1"},
    {"mla_naive_kvcache", bind<&Config::mla_naive_kvcache>, "true", kIgnored,
     "caching keys and values or the latent gives the same tokens"},
    {"param_scan_axis", bind<&Config::param_scan_axis>, "1", kBuilt,
     "place of the layer axis in Orbax checkpoints; memory keeps it first", kSizeOrNone},
    {"logits_via_embedding", bind<&Config::logits_via_embedding>, "false", kRefused,
     "output head tied to the embedding: not built, no DeepSeek model has it"},
    {"float32_qk_product", bind<&Config::float32_qk_product>, "false", kIgnored,
     "attention scores are summed in float32 whatever this says"},
    {"float32_logits", bind<&Config::float32_logits>, "false", kIgnored,
     "the softmax of attention is float32 whatever this says"},
    {"rope_pairwise", kBool, "false", kIgnored, kSameProduct},
    {"head_dim", kInt, "128", kIgnored, kHeadDim},
    {"use_sliced_mla_proj", kBool, "false", kIgnored, kComputeOrder},
    {"use_mla_absorbed_mqa", kBool, "false", kIgnored, kComputeOrder},
    {"mla_qk_head_chunk_size", kInt, "0", kIgnored, kComputeOrder},
    {"csa_qk_head_chunk_size", kInt, "0", kIgnored, kComputeOrder},
    {"use_iota_embed", kBool, "false", kIgnored, kComputeOrder},
    {"normalize_embedding_logits", kBool, "true", kIgnored, kComputeOrder},
    {"enable_padding_causal_mask", kBool, "true", kIgnored, kOtherAttention},
    {"use_ragged_attention", kBool, "false", kIgnored, kOtherAttention},
    {"ragged_block_size", kInt, "256", kIgnored, kOtherAttention},
    {"force_q_layout", kBool, "false", kIgnored, kOtherAttention},
    {"pagedattn_num_pages", kInt, "64", kIgnored, kOtherAttention},
    {"pagedattn_tokens_per_page", kInt, "32", kIgnored, kOtherAttention},
    {"pagedattn_pages_per_compute_block", kInt, "4", kIgnored, kOtherAttention},
    {"pagedattn_max_pages_per_group", kInt, "-1", kIgnored, kOtherAttention},
    {"pagedattn_head_dim_alignment", kInt, "128", kIgnored, kOtherAttention},
    {"use_qk_clip", kBool, "false", kRefused, kQkClip},
    {"qk_clip_threshold", kFloat, "100.0", kRefused, kQkClip},
    {"attn_logits_soft_cap", kCap, "0.0", kRefused, kSoftCap},
    {"final_logits_soft_cap", kCap, "0.0", kRefused, kSoftCap},
    {"fused_qkv", kBool, "false", kRefused, kFusedWeights},
    {"fused_mlp", kBool, "false", kRefused, kFusedWeights},
    {"share_kv_projections", kBool, "false", kRefused, kFusedWeights},
    {"attention_bias", kBool, "false", kRefused, kBias},
    {"mlp_bias", kBool, "false", kRefused, kBias},
    {"mlp_activations", kStrings, "[silu, linear]", kRefused, kActivation},
    {"dense_init_scale", kFloat, "1.0", kRefused, kInit},
    {"global_num_kv_heads", kInt, "0", kRefused, kOtherFamily},
    {"attention_sink", kBool, "false", kRefused, kOtherFamily},
    {"sliding_window_size", kInt, "0", kRefused, kOtherFamily},
    {"chunk_attn_window_size", kInt, "0", kRefused, kOtherFamily},
    {"use_post_attn_norm", kBool, "false", kRefused, kOtherFamily},
    {"use_post_ffw_norm", kBool, "false", kRefused, kOtherFamily},
    {"use_tokamax_splash", kBool, "false", kIgnored, kAttentionKernel},
    {"use_jax_splash", kBool, "false", kIgnored, kAttentionKernel},
    {"hidden_size_per_layer_input", kInt, "0", kRefused, kOtherFamily},
    {"vocab_size_per_layer_input", kInt, "0", kRefused, kOtherFamily},
    {"num_kv_shared_layers", kInt, "0", kRefused, kOtherFamily},
    {"use_double_wide_mlp", kBool, "false", kRefused, kOtherFamily},
    {"causal_block_size", kInt, "32", kRefused, kOtherFamily},
    {"qk_norm_with_scale", kBool, "true", kRefused, kOtherFamily},
    {"v_norm_with_scale", kBool, "true", kRefused, kOtherFamily},
    {"attention_output_dim", kInt, "-1", kRefused, kOtherFamily},
    {"global_head_dim", kInt, "0", kRefused, kOtherFamily},
    {"mlp_activations_limit", kFloat, "-1.0", kRefused, kOtherFamily},
    {"nope_layer_interval", kInt, "-1", kRefused, kOtherFamily},
    {"use_untrainable_positional_embedding", kBool, "false", kRefused, kOtherFamily},
    {"trainable_position_size", kInt, "-1", kRefused, kOtherFamily},
    {"rope_use_scale", kBool, "true", kRefused, kOtherRope},
    {"rope_min_timescale", kInt, "1", kRefused, kOtherRope},
    {"rope_linear_scaling_factor", kFloat, "1.0", kRefused, kOtherRope},
    {"local_rope_max_timescale", kInt, "-1", kRefused, kOtherRope},
    {"global_rope_max_timescale", kInt, "-1", kRefused, kOtherRope},
    {"global_rope_proportion", kFloat, "0.25", kRefused, kOtherRope},
    {"local_rope_proportion", kFloat, "1.0", kRefused, kOtherRope},
};

}  // namespace

KeyGroup model_keys() { return {"Dimensions and attention", kRows}; }

}  // namespace fathom
