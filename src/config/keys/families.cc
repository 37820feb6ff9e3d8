// Keys of model families other than DeepSeek V2 and V3: vision, audio, linear attention.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kMultimodal = "images, video and sound are not built";
constexpr std::string_view kLinearAttention = "linear attention is not built";
constexpr std::string_view kEngram = "engram layers are not built";
constexpr std::string_view kHyper = "hyper-connections are not built";
constexpr std::string_view kOtherAttention = "attention of other model families";

constexpr KeyRow kRows[] = {
    {"use_multimodal", kBool, "false", kRefused, kMultimodal},
    {"freeze_vision_encoder_params", kBool, "true", kRefused, kMultimodal},
    {"freeze_audio_encoder_params", kBool, "true", kRefused, kMultimodal},
    {"use_audio", kBool, "false", kRefused, kMultimodal},
    {"image_size_for_vit", kAny, "896", kRefused, kMultimodal},
    {"image_path", kString, "", kRefused, kMultimodal},
    {"image_placeholder", kString, "<|image|>", kRefused, kMultimodal},
    {"posemb_type_for_vit", kString, "learn", kRefused, kMultimodal},
    {"max_num_images_per_example", kInt, "-1", kRefused, kMultimodal},
    {"video_path", kString, "", kRefused, kMultimodal},
    {"audio_path", kString, "", kRefused, kMultimodal},
    {"video_placeholder", kString, "<|video|>", kRefused, kMultimodal},
    {"audio_placeholder", kString, "<|audio|>", kRefused, kMultimodal},
    {"use_audio_in_video", kBool, "false", kRefused, kMultimodal},
    {"use_mrope", kBool, "false", kRefused, kMultimodal},
    {"mrope_section", kAny, "[24, 20, 20]", kRefused, kMultimodal},
    {"position_id_per_seconds", kInt, "25", kRefused, kMultimodal},
    {"attention_for_vit", kString, "dot_product", kRefused, kMultimodal},
    {"vision_encoder_block", kString, "", kRefused, kMultimodal},
    {"video_max_grid_t", kOptInt, "null", kRefused, kMultimodal},
    {"video_max_grid_h", kOptInt, "null", kRefused, kMultimodal},
    {"video_max_grid_w", kOptInt, "null", kRefused, kMultimodal},
    {"hidden_size_for_vit", kInt, "1408", kRefused, kMultimodal},
    {"intermediate_size_for_vit", kInt, "5632", kRefused, kMultimodal},
    {"num_attention_heads_for_vit", kInt, "16", kRefused, kMultimodal},
    {"num_channels_for_vit", kInt, "3", kRefused, kMultimodal},
    {"tile_size_for_vit", kInt, "336", kRefused, kMultimodal},
    {"patch_size_for_vit", kInt, "14", kRefused, kMultimodal},
    {"conv_stride_for_vit", kInt, "14", kRefused, kMultimodal},
    {"num_hidden_layers_for_vit", kInt, "34", kRefused, kMultimodal},
    {"rope_theta_for_vit", kInt, "10000", kRefused, kMultimodal},
    {"vision_output_dim_for_vit", kInt, "4096", kRefused, kMultimodal},
    {"spatial_merge_size_for_vit", kInt, "2", kRefused, kMultimodal},
    {"out_hidden_size_for_vit", kInt, "512", kRefused, kMultimodal},
    {"temporal_patch_size_for_vit", kInt, "2", kRefused, kMultimodal},
    {"num_position_embeddings_for_vit", kInt, "1024", kRefused, kMultimodal},
    {"deepstack_visual_indexes_for_vit", kAny, "[]", kRefused, kMultimodal},
    {"vision_output_length", kInt, "-1", kRefused, kMultimodal},
    {"projector_input_dim_for_vit", kInt, "4096", kRefused, kMultimodal},
    {"projector_output_dim_for_vit", kInt, "4096", kRefused, kMultimodal},
    {"pixel_shuffle_ratio_for_vit", kFloat, "0.5", kRefused, kMultimodal},
    {"projector_dropout_for_vit", kFloat, "0.0", kRefused, kMultimodal},
    {"vision_projector_type", kString, "default", kRefused, kMultimodal},
    {"vision_connector_num_layers", kInt, "2", kRefused, kMultimodal},
    {"vision_connector_hidden_size", kInt, "0", kRefused, kMultimodal},
    {"vision_connector_activation", kString, "gelu", kRefused, kMultimodal},
    {"vision_connector_use_bias", kBool, "true", kRefused, kMultimodal},
    {"d_model_for_audio", kInt, "256", kRefused, kMultimodal},
    {"encoder_attention_heads_for_audio", kInt, "4", kRefused, kMultimodal},
    {"encoder_ffn_dim_for_audio", kInt, "512", kRefused, kMultimodal},
    {"encoder_layers_for_audio", kInt, "2", kRefused, kMultimodal},
    {"attention_dropout_for_audio", kFloat, "0.0", kRefused, kMultimodal},
    {"activation_dropout_for_audio", kFloat, "0.0", kRefused, kMultimodal},
    {"activation_function_for_audio", kString, "gelu", kRefused, kMultimodal},
    {"num_mel_bins_for_audio", kInt, "128", kRefused, kMultimodal},
    {"max_source_positions_for_audio", kInt, "1500", kRefused, kMultimodal},
    {"scale_embedding_for_audio", kBool, "true", kRefused, kMultimodal},
    {"n_window_for_audio", kInt, "50", kRefused, kMultimodal},
    {"n_window_infer_for_audio", kInt, "800", kRefused, kMultimodal},
    {"conv_chunksize_for_audio", kInt, "500", kRefused, kMultimodal},
    {"downsample_hidden_size_for_audio", kInt, "256", kRefused, kMultimodal},
    {"output_dim_for_audio", kInt, "512", kRefused, kMultimodal},
    {"num_conv_layers_for_audio", kInt, "3", kRefused, kMultimodal},
    {"max_timescale_for_audio", kFloat, "10000.0", kRefused, kMultimodal},
    {"max_sample_len_for_audio", kInt, "10000", kRefused, kMultimodal},
    {"dtype_mm", kString, "float32", kRefused, kMultimodal},
    {"train_image_column", kString, "image", kRefused, kMultimodal},
    {"eval_image_column", kString, "image", kRefused, kMultimodal},
    {"gdn_conv_kernel_dim", kInt, "4", kRefused, kLinearAttention},
    {"gdn_key_head_dim", kInt, "128", kRefused, kLinearAttention},
    {"gdn_value_head_dim", kInt, "128", kRefused, kLinearAttention},
    {"gdn_num_key_heads", kInt, "16", kRefused, kLinearAttention},
    {"gdn_num_value_heads", kInt, "32", kRefused, kLinearAttention},
    {"gdn_chunk_size", kInt, "64", kRefused, kLinearAttention},
    {"use_qk_norm_in_gdn", kBool, "true", kRefused, kLinearAttention},
    {"partial_rotary_factor", kFloat, "1.0", kRefused, kLinearAttention},
    {"gdn_mamba_block_size", kInt, "0", kRefused, kLinearAttention},
    {"engram_layers", kAny, "[]", kRefused, kEngram},
    {"engram_num_heads", kInt, "8", kRefused, kEngram},
    {"engram_head_dim", kInt, "1280", kRefused, kEngram},
    {"engram_vocab_bases", kAny, "[]", kRefused, kEngram},
    {"engram_max_ngram_size", kInt, "3", kRefused, kEngram},
    {"engram_kernel_size", kInt, "4", kRefused, kEngram},
    {"engram_seed", kInt, "0", kRefused, kEngram},
    {"mhc_expansion_rate", kInt, "1", kRefused, kHyper},
    {"sinkhorn_iterations", kInt, "20", kRefused, kHyper},
    {"enable_mhc_lite", kBool, "false", kRefused, kHyper},
    {"use_mhc_pallas_kernel", kBool, "false", kRefused, kHyper},
    {"mhc_pallas_kernel_fwd_block_size", kInt, "256", kRefused, kHyper},
    {"mhc_pallas_kernel_bwd_block_size", kInt, "128", kRefused, kHyper},
    {"mhc_pallas_kernel_bwd_feature_block_size", kInt, "1024", kRefused, kHyper},
    {"o_lora_rank", kInt, "0", kRefused, kOtherAttention},
    {"o_groups", kInt, "0", kRefused, kOtherAttention},
    {"compress_ratios", kAny, "[]", kRefused, kOtherAttention},
    {"compressed_rope_max_timescale", kInt, "160000", kRefused, kOtherAttention},
    {"use_csa_streamindex_kernel", kBool, "false", kRefused, kOtherAttention},
    {"moba", kBool, "false", kRefused, kOtherAttention},
    {"moba_chunk_size", kInt, "1024", kRefused, kOtherAttention},
    {"moba_topk", kInt, "8", kRefused, kOtherAttention},
    {"use_qk_norm", kBool, "false", kRefused, kOtherAttention},
    {"temperature_tuning", kBool, "false", kRefused, kOtherAttention},
};

}  // namespace

KeyGroup family_keys() { return {"Other model families", kRows}; }

}  // namespace fathom
