// Keys that tune kernels of the peer: none changes a number here.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kSplashQuant = "quantised attention is not built";
constexpr std::string_view kSplashTile = "tile size or choice inside the peer's attention kernels for TPU";
constexpr std::string_view kTile = "tile size of the peer's grouped kernels for TPU";

constexpr KeyRow kRows[] = {
    {"experimental_sa_quant_q_fp8", kBool, "false", kRefused, kSplashQuant},
    {"experimental_sa_quant_k_fp8", kBool, "false", kRefused, kSplashQuant},
    {"sa_block_q", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_kv", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_kv_compute", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_q_dkv", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_kv_dkv", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_kv_dkv_compute", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_q_dq", kInt, "512", kIgnored, kSplashTile},
    {"sa_block_kv_dq", kInt, "512", kIgnored, kSplashTile},
    {"sa_use_fused_bwd_kernel", kBool, "false", kIgnored, kSplashTile},
    {"sa_q_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"sa_k_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"sa_v_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"use_max_logit_estimate", kInt, "-1", kIgnored, kSplashTile},
    {"cost_estimate_flops_fwd", kInt, "-1", kIgnored, kSplashTile},
    {"cost_estimate_flops_bwd", kInt, "-1", kIgnored, kSplashTile},
    {"dq_reduction_steps", kInt, "0", kIgnored, kSplashTile},
    {"use_splash_scheduler", kBool, "false", kIgnored, kSplashTile},
    {"sa_bwd_dkv_megacore", kBool, "false", kIgnored, kSplashTile},
    {"ring_scan_unroll", kInt, "1", kIgnored, kSplashTile},
    {"sa_fuse_reciprocal", kBool, "true", kIgnored, kSplashTile},
    {"sa_use_base2_exp", kBool, "true", kIgnored, kSplashTile},
    {"local_sa_block_q", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_kv", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_kv_compute", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_q_dkv", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_kv_dkv", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_kv_dkv_compute", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_q_dq", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_block_kv_dq", kOptInt, "null", kIgnored, kSplashTile},
    {"local_sa_use_fused_bwd_kernel", kOptBool, "null", kIgnored, kSplashTile},
    {"local_sa_q_layout", kString, "", kIgnored, kSplashTile},
    {"local_sa_k_layout", kString, "", kIgnored, kSplashTile},
    {"local_sa_v_layout", kString, "", kIgnored, kSplashTile},
    {"local_use_splash_scheduler", kOptBool, "null", kIgnored, kSplashTile},
    {"local_sa_fuse_reciprocal", kOptBool, "null", kIgnored, kSplashTile},
    {"local_sa_use_base2_exp", kOptBool, "null", kIgnored, kSplashTile},
    {"eval_sa_block_q", kInt, "512", kIgnored, kSplashTile},
    {"eval_sa_block_kv", kInt, "512", kIgnored, kSplashTile},
    {"eval_sa_block_kv_compute", kInt, "512", kIgnored, kSplashTile},
    {"eval_sa_q_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"eval_sa_k_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"eval_sa_v_layout", kString, "HEAD_DIM_MINOR", kIgnored, kSplashTile},
    {"eval_local_sa_block_q", kOptInt, "null", kIgnored, kSplashTile},
    {"eval_local_sa_block_kv", kOptInt, "null", kIgnored, kSplashTile},
    {"eval_local_sa_block_kv_compute", kOptInt, "null", kIgnored, kSplashTile},
    {"eval_local_sa_q_layout", kString, "", kIgnored, kSplashTile},
    {"eval_local_sa_k_layout", kString, "", kIgnored, kSplashTile},
    {"eval_local_sa_v_layout", kString, "", kIgnored, kSplashTile},
    {"wi_tile_fwd_batch_seq", kInt, "512", kIgnored, kTile},
    {"wi_tile_fwd_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wi_tile_fwd_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"wi_tile_dlhs_batch_seq", kInt, "512", kIgnored, kTile},
    {"wi_tile_dlhs_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wi_tile_dlhs_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"wi_tile_drhs_batch_seq", kInt, "512", kIgnored, kTile},
    {"wi_tile_drhs_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wi_tile_drhs_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_fwd_batch_seq", kInt, "512", kIgnored, kTile},
    {"wo_tile_fwd_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_fwd_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_dlhs_batch_seq", kInt, "512", kIgnored, kTile},
    {"wo_tile_dlhs_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_dlhs_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_drhs_batch_seq", kInt, "512", kIgnored, kTile},
    {"wo_tile_drhs_embed_dim", kInt, "1024", kIgnored, kTile},
    {"wo_tile_drhs_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"eval_wi_tile_fwd_batch_seq", kInt, "512", kIgnored, kTile},
    {"eval_wi_tile_fwd_embed_dim", kInt, "1024", kIgnored, kTile},
    {"eval_wi_tile_fwd_mlp_dim", kInt, "1024", kIgnored, kTile},
    {"eval_wo_tile_fwd_batch_seq", kInt, "512", kIgnored, kTile},
    {"eval_wo_tile_fwd_embed_dim", kInt, "1024", kIgnored, kTile},
    {"eval_wo_tile_fwd_mlp_dim", kInt, "1024", kIgnored, kTile},
};

}  // namespace

KeyGroup tile_keys() { return {"Tile sizes and kernel choices of other machines", kRows}; }

}  // namespace fathom
