// What other trainers (Hugging Face, Megatron, nanoGPT, torchtitan, Lightning, PaxML) call a key.
#include <algorithm>

#include "config/keys/keys.h"

namespace fathom {

namespace {

struct OtherNames {
  std::string_view keys;   // separated by spaces
  std::string_view names;  // likewise
};

constexpr OtherNames kOtherNames[] = {
    {"learning_rate", "lr max_lr peak_lr base_lr init_lr learning_rate_peak"},
    {"learning_rate_final_fraction", "min_lr lr_min end_lr final_lr min_lr_ratio lr_end decay_lr"},
    {"warmup_steps_fraction",
     "warmup warmup_steps warmup_ratio num_warmup_steps lr_warmup_steps warmup_iters "
     "lr_warmup_iters warmup_fraction"},
    {"lr_schedule_type", "lr_scheduler lr_scheduler_type scheduler schedule lr_schedule lr_decay_style"},
    {"learning_rate_schedule_steps", "lr_decay_steps lr_decay_iters lr_decay_samples"},
    {"max_target_length",
     "seq_len max_seq_len seq_length max_seq_length sequence_length block_size context_length "
     "max_length max_sequence_length n_ctx context_size cutoff_len model_max_length maxlen"},
    {"per_device_batch_size",
     "batch_size batch micro_batch_size per_device_train_batch_size train_batch_size "
     "train_micro_batch_size_per_gpu global_batch_size local_batch_size device_batch_size bs "
     "batch_size_per_device total_batch_size"},
    {"eval_per_device_batch_size", "per_device_eval_batch_size eval_micro_batch_size val_batch_size"},
    {"gradient_accumulation_steps",
     "grad_accum gradient_accumulation accumulate_grad_batches grad_acc_steps grad_accum"
     "_steps accumulation_steps ga"},
    {"num_epoch", "epochs epoch num_epochs num_train_epochs max_epochs n_epochs train_epochs"},
    {"steps",
     "max_steps train_steps num_steps total_steps training_steps train_iters max_iters num_train_steps "
     "num_iterations iterations iters"},
    {"adam_weight_decay", "weight_decay wd"},
    {"adam_b1", "beta1 beta_1 b1 adam_beta1 betas"},
    {"adam_b2", "beta2 beta_2 b2 adam_beta2"},
    {"adam_eps", "eps epsilon adam_epsilon"},
    {"gradient_clipping_threshold",
     "grad_clip max_grad_norm clip_grad gradient_clipping clip_grad_norm "
     "gradient_clip_val max_norm clip_norm gradient_clip"},
    {"init_weights_seed data_shuffle_seed", "seed random_seed rng_seed"},
    {"opt_type", "optimizer optim optimizer_type"},
    {"dtype weight_dtype", "precision torch_dtype fp16 bf16 mixed_precision compute_dtype param_dtype"},
    {"base_emb_dim", "hidden_size d_model n_embd dim hidden_dim model_dim embed_dim embedding_size"},
    {"base_num_decoder_layers", "num_layers n_layers num_hidden_layers n_layer layers depth"},
    {"base_num_query_heads", "n_heads num_heads num_attention_heads n_head heads"},
    {"base_num_kv_heads", "n_kv_heads num_kv_heads num_key_value_heads num_query_groups"},
    {"base_mlp_dim", "intermediate_size ffn_dim inter_dim ffn_hidden_size d_ff hidden_dim_ffn"},
    {"base_moe_mlp_dim", "moe_intermediate_size moe_inter_dim moe_ffn_hidden_size"},
    {"num_experts", "n_routed_experts num_local_experts n_experts"},
    {"num_experts_per_tok", "top_k topk moe_top_k num_experts_per_token n_activated_experts moe_router_topk"},
    {"shared_experts", "n_shared_experts num_shared_experts"},
    {"first_num_dense_layers", "first_k_dense_replace n_dense_layers num_dense_layers"},
    {"n_routing_groups", "n_group n_groups n_expert_groups"},
    {"topk_routing_group", "topk_group n_limited_groups"},
    {"routed_score_func", "scoring_func score_func"},
    {"load_balance_loss_weight",
     "aux_loss_coef aux_loss_alpha router_aux_loss_coef moe_aux_loss_coeff "
     "load_balance_loss_coef aux_loss_weight"},
    {"z_loss_multiplier", "z_loss z_loss_weight zloss"},
    {"normalization_layer_epsilon", "rms_norm_eps layer_norm_eps norm_eps layernorm_epsilon norm_epsilon"},
    {"rope_max_timescale", "rope_theta rotary_base rope_base"},
    {"mtp_num_layers", "num_nextn_predict_layers mtp_depth"},
    {"model_name", "model model_type arch architecture"},
    {"load_parameters_path",
     "model_path checkpoint pretrained model_name_or_path init_from ckpt ckpt_path "
     "checkpoint_path resume_from resume_from_checkpoint load"},
    {"base_output_directory", "output_dir out_dir save_dir output logdir log_dir output_path exp_dir"},
    {"run_name", "name exp_name experiment_name experiment job_name"},
    {"dataset_path", "data_path dataset data data_dir train_file train_data dataset_name_or_path train_data_path"},
    {"hf_eval_files", "eval_file validation_file val_file eval_data val_data eval_data_path"},
    {"train_data_columns", "text_column text_field dataset_text_field text_key"},
    {"tokenizer_path", "tokenizer tokenizer_name tokenizer_model tokenizer_name_or_path tokenizer_file"},
    {"eval_interval", "eval_every eval_freq val_interval evaluation_interval val_check_interval"},
    {"eval_steps", "eval_iters val_steps"},
    {"log_period", "logging_steps log_interval log_every log_freq log_every_n_steps print_freq"},
    {"checkpoint_period", "save_steps save_interval save_every checkpoint_interval save_freq checkpoint_every"},
    {"remat_policy",
     "gradient_checkpointing activation_checkpointing recompute remat activation_checkpoint "
     "recompute_granularity"},
    {"attention", "flash_attention use_flash_attn attn_implementation use_flash_attention flash_attn attn"},
    {"ici_tensor_parallelism",
     "tp tp_size tensor_parallel tensor_parallel_size tensor_model_parallel_size "
     "tensor_parallelism"},
    {"ici_data_parallelism", "dp dp_size data_parallel data_parallel_size data_parallelism"},
    {"ici_fsdp_parallelism", "fsdp fsdp_size data_parallel_shard_degree fsdp_parallelism zero"},
    {"ici_expert_parallelism",
     "ep ep_size expert_parallel expert_parallel_size expert_model_parallel_size "
     "expert_parallelism"},
    {"ici_context_parallelism", "cp cp_size context_parallel context_parallel_size context_parallelism"},
    {"cpu_device_count",
     "num_devices devices n_devices device_count num_cpu_devices xla_force_host_platform_device"
     "_count"},
    {"hardware", "device accelerator platform backend"},
    {"jax_cache_dir", "cache_dir compilation_cache compile_cache compilation_cache_dir"},
    {"compile_xla_flags", "xla_flags"},
    {"prompt", "text input_text"},
};

// Whether `word` is one of the words of `list`.
bool holds(std::string_view list, std::string_view word) {
  for (size_t at = 0; at < list.size();) {
    size_t end = std::min(list.find(' ', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

std::vector<std::string> keys_called(std::string_view other_name) {
  std::vector<std::string> out;
  for (const OtherNames& row : kOtherNames) {
    if (!holds(row.names, other_name)) continue;
    for (size_t at = 0; at < row.keys.size();) {
      size_t end = std::min(row.keys.find(' ', at), row.keys.size());
      out.emplace_back(row.keys.substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

}  // namespace fathom
