// Keys of the mixture of experts, of multi-token prediction and of the sparse-attention indexer.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kExactChoice = "the indexer keeps exactly indexer_topk keys, of equal ones the earliest";
constexpr std::string_view kPredictionDetail = "the embedding of the next token is the same wherever it is taken from";
constexpr std::string_view kDropping = "ragged_buffer_factor bounds evaluations and the first steps as all others";
constexpr std::string_view kRandomRouting = "random routing is a benchmark aid of the peer";
constexpr std::string_view kOtherMoe = "belongs to other model families";
constexpr std::string_view kQuantizedMoe = "of quantised training only quantization=fp8 is built";
constexpr std::string_view kMoeSharding =
    "expert weights are split by rules: give custom_mesh_and_rule=shard-exp-on-fsdp, or logical_axis_rules";
constexpr std::string_view kExtraLog = "extra output of the peer; no number depends on it";
constexpr std::string_view kExpertSchedule = "how tokens reach their experts is chosen here; the sums are the same";
constexpr std::string_view kGroupedKernel = "choice among the peer's grouped kernels";

constexpr KeyRow kRows[] = {
    {"num_experts", bind<&Config::num_experts>, "1", kBuilt, "routed experts of a layer", kExperts},
    {"num_experts_per_tok", bind<&Config::num_experts_per_tok>, "1", kBuilt, "experts chosen for a token", kExperts},
    {"shared_experts", bind<&Config::shared_experts>, "0", kBuilt,
     "experts that every token passes; one MLP of that many widths", kExpertsOrNone},
    {"routed_scaling_factor", bind<&Config::routed_scaling_factor>, "1.0", kBuilt,
     "multiplies the weights of the chosen experts", kPositive},
    {"routed_score_func", bind<&Config::routed_score_func>, "", kBuilt,
     "`softmax` (V2) or `sigmoid` (V3) of the gate's logits; empty = softmax"},
    {"routed_bias", bind<&Config::routed_bias>, "false", kBuilt,
     "a bias per expert is added to the scores for the choice only"},
    {"norm_topk_prob", bind<&Config::norm_topk_prob>, "false", kBuilt, "the chosen weights are divided by their sum"},
    {"n_routing_groups", bind<&Config::n_routing_groups>, "-1", kBuilt,
     "groups of experts; only the best topk_routing_group are chosen from; -1 = no groups", kGroups},
    {"topk_routing_group", bind<&Config::topk_routing_group>, "-1", kBuilt, "groups that are kept", kGroups},
    {"routing_group_score", bind<&Config::routing_group_score>, "top2_sum", kBuilt,
     "what ranks a group: the sum of its two best scores (V3) or its best, `max` (V2-236B)"},
    {"sparse_matmul", bind<&Config::sparse_matmul>, "true", kBuilt,
     "tokens sorted by expert; false = every expert on every token, masked"},
    {"load_balance_loss_weight", bind<&Config::load_balance_loss_weight>, "0.0", kBuilt,
     "weight of the auxiliary balance loss", kFactor},
    {"moe_use_megatron_seq_aux_loss", bind<&Config::moe_use_megatron_seq_aux_loss>, "false", kBuilt,
     "with sigmoid scores: the balance loss of the V3 report, of each sequence, summed over layers"},
    {"megablox", bind<&Config::megablox>, "true", kIgnored, "the kernel of the grouped product is chosen by `kernels`"},
    {"float32_gate_logits", bind<&Config::float32_gate_logits>, "false", kIgnored,
     "the gate is float32 whatever this says"},
    {"float32_weight_sum", bind<&Config::float32_weight_sum>, "true", kIgnored,
     "experts are summed in float32 whatever this says"},
    {"routed_bias_update_rate", bind<&Config::routed_bias_update_rate>, "0.0", kBuilt,
     "after each step the router's bias of an expert grows by it where fewer than the mean of tokens chose the expert, "
     "and shrinks where more did",
     kFactor},
    {"capacity_factor", bind<&Config::capacity_factor>, "-1.0", kBuilt,
     "above 0, with sparse_matmul=False: an expert keeps so many times its mean share of a row's choices, the first "
     "ones, and drops the others",
     kCapacity},
    {"ragged_buffer_factor", bind<&Config::ragged_buffer_factor>, "-1.0", kBuilt,
     "above 0, with sparse_matmul=True and experts split over devices: a device takes so many times its mean share of "
     "the choices and drops the others; otherwise buffers are for the worst case and nothing is dropped",
     kCapacity},
    {"mtp_num_layers", bind<&Config::mtp_num_layers>, "0", kBuilt,
     "modules for multi-token prediction behind the last layer, each of which predicts one token further", kModules},
    {"mtp_loss_scaling_factor", bind<&Config::mtp_loss_scaling_factor>, "0.1", kBuilt,
     "weight of the loss of multi-token prediction, which is the mean over the tokens that all modules predict",
     kFactor},
    {"mtp_eval_target_module", bind<&Config::mtp_eval_target_module>, "0", kBuilt,
     "in evaluations: the module, from 1, of whose guesses it is said how many the main head agrees with; 0 = none",
     kModules},
    {"mtp_variant", bind<&Config::mtp_variant>, "checkpoint", kBuilt,
     "what modules read and which norm stands before the head: as released weights mean it; `pre_own` (MaxText 0.2.5), "
     "`maxtext` (before it), `post_main`"},
    {"use_indexer", bind<&Config::use_indexer>, "false", kBuilt,
     "whether an indexer chooses the keys of each query (V3.2); False attends to everything"},
    {"indexer_n_heads", bind<&Config::indexer_n_heads>, "64", kBuilt, "heads of the indexer", kSize},
    {"indexer_head_dim", bind<&Config::indexer_head_dim>, "128", kBuilt, "width of an indexer head", kSize},
    {"indexer_topk", bind<&Config::indexer_topk>, "2048", kBuilt, "keys that the indexer keeps for a query", kSize},
    {"indexer_sparse_training", bind<&Config::indexer_sparse_training>, "false", kBuilt,
     "stage: False and a loss for the indexer = dense warm-up, in which it learns alone; True = everything learns"},
    {"indexer_loss_scaling_factor", bind<&Config::indexer_loss_scaling_factor>, "0.0", kBuilt,
     "weight of the indexer's loss, its distance from attention; 0 = it does not learn", kFactor},
    {"indexer_warmup_attention", bind<&Config::indexer_warmup_attention>, "dense", kBuilt,
     "attention in the dense warm-up: over all keys (V3.2 report) or, `sparse`, over the chosen ones (MaxText)"},
    {"indexer_mask_exact_topk", kBool, "true", kRefused, kExactChoice},
    {"indexer_use_approx_top_k", kBool, "false", kRefused, kExactChoice},
    {"indexer_approx_top_k_recall", kFloat, "0.95", kRefused, kExactChoice},
    {"mtp_reuse_input_embedding", kBool, "false", kIgnored, kPredictionDetail},
    {"eval_ragged_buffer_factor", kFloat, "-1.0", kRefused, kDropping},
    {"first_phase_ragged_buffer_factor", kFloat, "0.0", kRefused, kDropping},
    {"use_random_routing", kBool, "false", kRefused, kRandomRouting},
    {"moe_expert_input_dim", kInt, "-1", kRefused, kOtherMoe},
    {"padded_base_moe_mlp_dim", kOptInt, "null", kRefused, kOtherMoe},
    {"interleave_moe_layer_step", kInt, "1", kRefused, kOtherMoe},
    {"first_num_hash_layers", kInt, "0", kRefused, kOtherMoe},
    {"use_lineage", kBool, "false", kRefused, kOtherMoe},
    {"moe_quantize_token_all_gather", kBool, "false", kRefused, kQuantizedMoe},
    {"moe_quantize_combine_bwd_method", kString, "", kRefused, kQuantizedMoe},
    {"te_gmm_quantization", kString, "", kRefused, kQuantizedMoe},
    {"shard_exp_on_fsdp", kBool, "false", kRefused, kMoeSharding},
    {"use_2d_fsdp_sharding", kBool, "false", kRefused, kMoeSharding},
    {"shard_embed_moe_on_fsdp", kBool, "false", kRefused, kMoeSharding},
    {"moe_log_max_load_ratio", kBool, "false", kIgnored, kExtraLog},
    {"log_required_ragged_buffer_factor", kBool, "false", kIgnored, kExtraLog},
    {"log_step_diagnostics", kBool, "false", kIgnored, kExtraLog},
    {"log_moe_bias_norms", kBool, "false", kIgnored, kExtraLog},
    {"return_routed_experts", kBool, "false", kIgnored, kExtraLog},
    {"use_custom_sort_vjp", kBool, "true", kIgnored, kExpertSchedule},
    {"use_ring_of_experts", kBool, "false", kIgnored, kExpertSchedule},
    {"use_gather_mosaic_kernel", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_fsdp_use_two_stage_all_gather", kBool, "false", kIgnored, kExpertSchedule},
    {"prefuse_moe_weights", kBool, "false", kIgnored, kExpertSchedule},
    {"num_moe_token_chunks", kInt, "1", kIgnored, kExpertSchedule},
    {"moe_chunk_barrier", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_dispatch_no_expert_sharding", kBool, "false", kIgnored, kExpertSchedule},
    {"use_ragged_sort", kBool, "false", kIgnored, kExpertSchedule},
    {"ragged_sort_use_single_sparsecore", kBool, "false", kIgnored, kExpertSchedule},
    {"ragged_gather_fallback", kBool, "false", kIgnored, kExpertSchedule},
    {"ragged_gather_reduce_fallback", kBool, "false", kIgnored, kExpertSchedule},
    {"ragged_gather_cost_estimate_flops", kInt, "-1", kIgnored, kExpertSchedule},
    {"ragged_gather_reduce_cost_estimate_flops", kInt, "-1", kIgnored, kExpertSchedule},
    {"ragged_gather_cost_estimate_bytes_accessed", kInt, "-1", kIgnored, kExpertSchedule},
    {"ragged_gather_reduce_cost_estimate_bytes_accessed", kInt, "-1", kIgnored, kExpertSchedule},
    {"fuse_expert_scales", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_dropless_fallback", kString, "", kIgnored, kExpertSchedule},
    {"retry_dropless_first_steps", kInt, "0", kIgnored, kExpertSchedule},
    {"warmup_programs_in_init", kBool, "false", kIgnored, kExpertSchedule},
    {"router_topk_matmul_vjp", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_topk_before_ep_all_gather", kBool, "false", kIgnored, kExpertSchedule},
    {"te_moe_block", kBool, "false", kIgnored, kExpertSchedule},
    {"te_ep_overflow_check_every_n_steps", kInt, "20", kIgnored, kExpertSchedule},
    {"moe_use_direct_token_gather", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_pin_sparse_core_all_gathers", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_pin_sparse_core_ep_all_gathers", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_pin_sparse_core_fsdp_all_gathers", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_pin_sparse_core_fsdp_all_gathers_fwd_only", kBool, "false", kIgnored, kExpertSchedule},
    {"moe_fsdp_all_gather_sparse_core_id", kInt, "0", kIgnored, kExpertSchedule},
    {"moe_ep_all_gather_sparse_core_id", kInt, "1", kIgnored, kExpertSchedule},
    {"use_batch_split_schedule", kBool, "false", kIgnored, kExpertSchedule},
    {"batch_split_factor", kInt, "1", kIgnored, kExpertSchedule},
    {"defer_small_all_reduces", kBool, "false", kIgnored, kExpertSchedule},
    {"use_tokamax_gmm", kBool, "false", kIgnored, kGroupedKernel},
    {"merge_gating_gmm", kBool, "false", kIgnored, kGroupedKernel},
    {"num_moe_emb_chunks", kInt, "0", kIgnored, kGroupedKernel},
    {"use_gmm_v2", kBool, "false", kIgnored, kGroupedKernel},
    {"use_gmm_v2_heuristic_tiling", kBool, "false", kIgnored, kGroupedKernel},
};

}  // namespace

KeyGroup moe_keys() { return {"Experts, multi-token prediction, indexer", kRows}; }

}  // namespace fathom
