// The resolved configuration: one flat struct whose fields carry the exact names of the keys that fathom builds on.
// resolve.h makes it from the layers (base file, model file, command line, environment); keys.h describes every key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/signature.h"
#include "config/enums.h"

namespace fathom {

// Values are final: defaults, -1 ("take it from ...") and empty strings are already resolved where the comment says so.
// The initialisers stand for nothing but zero: the defaults live in the key table.
struct Config {
  // --- Run.
  std::string model_name;             // the model file, "default" (keys alone), or "auto" (from a config.json)
  std::string run_name;               // resolved: never empty
  std::string base_output_directory;  // resolved: never empty
  bool override_model_config = false;
  bool override_logical_axis_rules = false;
  DefaultsKind defaults = DefaultsKind::kFathom;
  bool log_config = false;
  int64_t log_period = 0;  // steps between flushes of the TensorBoard file, and between records of the experts' loads
  int64_t init_weights_seed = 0;
  int64_t data_shuffle_seed = 0;
  std::string run_directory;  // derived, not a key: <base_output_directory>/<run_name>

  // --- Hardware and plugin.
  Hardware hardware = Hardware::kCpu;
  std::string plugin;            // path of a PJRT plugin; empty = found by hardware
  int64_t cpu_device_count = 1;  // virtual devices of the CPU plugin
  KernelUse kernels = KernelUse::kAuto;
  std::string jax_cache_dir;  // on-disk compile cache; `~` expanded; empty = none
  std::string compile_xla_flags;
  std::string compile_topology;
  int64_t compile_topology_num_slices = 0;
  std::string compiled_trainstep_file;

  // --- Processes of a job. What the keys leave open comes from the cluster's environment (job/coordination.h).
  bool skip_jax_distributed_system = false;
  int64_t jax_distributed_initialization_timeout = 0;  // seconds
  std::string coordinator_address;
  std::string coordinator_bind_address;
  int64_t process_count = -1;    // -1 = from the environment
  int64_t process_index = -1;    // likewise
  std::string local_device_ids;  // "0,1"

  // --- Dimensions. base_* are the keys; the plain names are what the model uses (base_* scaled by
  // global_parameter_scale).
  DecoderBlock decoder_block = DecoderBlock::kDeepseek;
  int64_t global_parameter_scale = 1;
  int64_t base_emb_dim = 0;
  int64_t base_mlp_dim = 0;
  int64_t base_moe_mlp_dim = 0;
  int64_t base_num_query_heads = 0;
  int64_t base_num_kv_heads = 0;
  int64_t base_num_decoder_layers = 0;
  int64_t emb_dim = 0;             // derived
  int64_t mlp_dim = 0;             // derived
  int64_t moe_mlp_dim = 0;         // derived: width of one expert, and of one shared expert
  int64_t num_query_heads = 0;     // derived
  int64_t num_kv_heads = 0;        // derived
  int64_t num_decoder_layers = 0;  // derived: all layers, dense ones included, without MTP modules
  int64_t vocab_size = 0;
  int64_t first_num_dense_layers = 0;
  double normalization_layer_epsilon = 0;
  bool logits_via_embedding = false;
  bool scan_layers = true;
  int64_t param_scan_axis = 1;  // where the layer axis stands in Orbax checkpoints; memory keeps it first

  // --- Attention: MLA and rotary embedding.
  AttentionKind attention = AttentionKind::kAutoselected;
  AttentionType attention_type = AttentionType::kMla;
  int64_t q_lora_rank = 0;  // 0 = direct query projection
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  bool mla_naive_kvcache = true;
  bool float32_qk_product = false;
  bool float32_logits = false;
  RopeType rope_type = RopeType::kDefault;
  double rope_max_timescale = 0;  // theta
  int64_t max_position_embeddings = 0;
  int64_t original_max_position_embeddings = 0;
  double rope_factor = 1;
  double beta_fast = 0;
  double beta_slow = 0;
  double mscale = 0;
  double mscale_all_dim = 0;  // resolved: `mscale` unless given
  bool rope_interleave = true;
  bool rope_truncate = true;
  bool rope_attention_scaling = false;
  // Derived from the keys above, so that the model needs no case: the softmax scale is
  // (qk_nope + qk_rope)^-1/2 * softmax_scale_factor, and cos and sin are multiplied by rope_output_scale.
  double softmax_scale_factor = 1;
  double rope_output_scale = 1;

  // --- Mixture of experts.
  int64_t num_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t shared_experts = 0;  // realised as one MLP of width shared_experts * moe_mlp_dim
  double routed_scaling_factor = 1;
  ScoreFunc routed_score_func = ScoreFunc::kSoftmax;
  bool routed_bias = false;
  double routed_bias_update_rate = 0;
  bool norm_topk_prob = false;     // divide the chosen weights by their sum (+1e-20)
  int64_t n_routing_groups = 0;    // resolved: 0 = no groups
  int64_t topk_routing_group = 0;  // groups kept; resolved: 0 when there are none
  GroupScore routing_group_score = GroupScore::kTop2Sum;
  bool sparse_matmul = true;  // grouped by expert; false = every expert on every token, masked
  bool megablox = true;
  double capacity_factor = -1;  // above 0 and not sparse_matmul: experts drop what is beyond it
  // Above 0 and sparse_matmul, experts split over devices: a device takes so many times its mean share of the choices.
  double ragged_buffer_factor = -1;
  bool float32_gate_logits = false;
  bool float32_weight_sum = true;
  double load_balance_loss_weight = 0;
  bool moe_use_megatron_seq_aux_loss = false;  // the balance loss of the V3 report

  // --- Multi-token prediction and the sparse-attention indexer.
  int64_t mtp_num_layers = 0;
  double mtp_loss_scaling_factor = 0;
  int64_t mtp_eval_target_module = 0;
  PredictionVariant mtp_variant = PredictionVariant::kCheckpoint;
  bool use_indexer = false;
  int64_t indexer_n_heads = 0;
  int64_t indexer_head_dim = 0;
  int64_t indexer_topk = 0;
  bool indexer_sparse_training = false;
  double indexer_loss_scaling_factor = 0;
  WarmupAttention indexer_warmup_attention = WarmupAttention::kDense;
  // Derived: the language-model loss is off and only the indexer learns (V3.2 report, dense warm-up).
  bool indexer_dense_warmup = false;

  // --- Numbers.
  DType dtype = DType::kBF16;        // activations
  DType weight_dtype = DType::kF32;  // parameters
  DType grad_dtype = DType::kF32;    // float32 gradients are cast to it
  DType mu_dtype = DType::kF32;      // resolved: weight_dtype unless given
  Precision matmul_precision = Precision::kDefault;
  Quantization quantization = Quantization::kNone;
  bool activations_in_float32 = false;
  bool logits_dot_in_fp32 = false;
  bool cast_logits_to_fp32 = true;
  double z_loss_multiplier = 0;
  int64_t num_vocab_tiling = 1;

  // --- Training loop.
  int64_t steps = 0;  // resolved
  double per_device_batch_size = 0;
  int64_t max_target_length = 0;
  int64_t gradient_accumulation_steps = 1;
  bool use_tunix_gradient_accumulation = false;
  bool abort_on_nan_loss = true;
  bool abort_on_inf_loss = true;
  int64_t reuse_example_batch = 0;
  bool enable_tensorboard = true;
  std::string profiler;  // not empty: steps are sampled
  int64_t skip_first_n_steps_for_profiler = 0;
  int64_t profiler_steps = 0;
  std::string metrics_file;
  bool overwrite = false;
  // Rematerialisation: `remat` false keeps everything; otherwise a layer keeps its input and the tensors named in
  // `remat_saved`; names of those that wait in the host's memory end in kOnHost (base/remat_names.h). Both derived from
  // remat_policy and, for "custom", the per-tensor keys.
  RematPolicy remat_policy = RematPolicy::kFull;
  bool remat = true;
  std::vector<std::string> remat_saved;
  RematChoice decoder_layer_input = RematChoice::kDevice;
  RematChoice context = RematChoice::kRemat;
  RematChoice mlpwi = RematChoice::kRemat;
  RematChoice mlpwi_0 = RematChoice::kRemat;
  RematChoice mlpwi_1 = RematChoice::kRemat;
  RematChoice mlpwo = RematChoice::kRemat;
  RematChoice moe_mlpwi_0 = RematChoice::kRemat;
  RematChoice moe_mlpwi_1 = RematChoice::kRemat;
  RematChoice moe_mlpwo = RematChoice::kRemat;
  RematChoice moe_x_sorted = RematChoice::kRemat;
  RematChoice moe_routing_maps = RematChoice::kRemat;
  RematChoice query_proj = RematChoice::kRemat;
  RematChoice key_proj = RematChoice::kRemat;
  RematChoice value_proj = RematChoice::kRemat;
  RematChoice kv_proj = RematChoice::kRemat;
  RematChoice qkv_proj = RematChoice::kRemat;
  RematChoice out_proj = RematChoice::kRemat;
  RematChoice query_wa_proj = RematChoice::kRemat;
  RematChoice kv_wa_proj = RematChoice::kRemat;
  RematChoice mla_q = RematChoice::kRemat;
  RematChoice mla_kv = RematChoice::kRemat;
  RematChoice attention_out = RematChoice::kRemat;
  RematChoice indexer_cutoff_threshold = RematChoice::kRemat;

  // --- Optimizer and schedule.
  OptType opt_type = OptType::kAdamw;
  double learning_rate = 0;  // peak
  LrScheduleType lr_schedule_type = LrScheduleType::kCosine;
  double warmup_steps_fraction = 0;
  double learning_rate_final_fraction = 0;
  int64_t learning_rate_schedule_steps = 0;  // resolved: `steps` unless given
  double wsd_decay_steps_fraction = 0;
  WsdDecayStyle wsd_decay_style = WsdDecayStyle::kLinear;
  double adam_b1 = 0;
  double adam_b2 = 0;
  double adam_eps = 0;
  double adam_eps_root = 0;
  double adam_weight_decay = 0;
  std::vector<std::string> adamw_mask;                 // regexes; a match is not decayed
  std::vector<std::string> trainable_parameters_mask;  // regexes; empty = all are trained
  double gradient_clipping_threshold = 0;              // global norm; <= 0 is off

  // --- Data.
  DatasetType dataset_type = DatasetType::kSynthetic;  // resolved
  std::string dataset_path;
  std::string dataset_name;       // below a folder of TensorFlow Datasets
  std::string eval_dataset_name;  // resolved: dataset_name unless given
  std::string hf_path;
  std::string hf_data_dir;
  std::string hf_train_files;
  std::string hf_eval_files;
  std::string hf_eval_split;
  std::string train_split;
  std::string eval_split;
  std::vector<std::string> train_data_columns;
  std::vector<std::string> eval_data_columns;
  bool tokenize_train_data = true;
  bool tokenize_eval_data = true;
  bool skip_bad_records = false;
  bool packing = true;
  int64_t max_segments_per_seq = -1;  // -1 = no bound
  bool generate_padding_batch_train = false;
  bool generate_padding_batch_eval = false;
  bool add_bos = true;
  bool add_eos = true;
  bool enable_data_shuffling = true;
  int64_t num_epoch = 1;
  std::string tokenizer_type;
  std::string tokenizer_path;  // resolved: the model folder's own when empty and there is one
  bool use_sft = false;
  bool sft_train_on_completion_only = false;
  std::string chat_template;
  std::string chat_template_path;

  // --- Evaluation.
  int64_t eval_interval = -1;  // <= 0 = no evaluation
  int64_t eval_steps = -1;     // -1 = all of the evaluation data
  int64_t eval_start_step = 0;
  double eval_per_device_batch_size = 0;  // resolved: per_device_batch_size when 0
  double target_eval_loss = 0;
  std::string sample_prompt;  // empty: nothing is completed

  // --- Parallelism. The mesh itself comes from resolve_mesh (mesh/device_mesh.h), once the devices are known.
  std::vector<std::string> mesh_axes;
  std::vector<AxisRule> logical_axis_rules;  // resolved: all layers merged
  int64_t num_slices = -1;
  int64_t ici_diloco_parallelism = 1;
  int64_t ici_data_parallelism = 1;
  int64_t ici_pipeline_parallelism = 1;
  int64_t ici_fsdp_parallelism = -1;
  int64_t ici_fsdp_transpose_parallelism = 1;
  int64_t ici_context_parallelism = 1;
  int64_t ici_context_usp_ulysses_parallelism = 1;
  int64_t ici_context_autoregressive_parallelism = 1;
  int64_t ici_tensor_parallelism = 1;
  int64_t ici_tensor_transpose_parallelism = 1;
  int64_t ici_tensor_sequence_parallelism = 1;
  int64_t ici_expert_parallelism = 1;
  int64_t ici_autoregressive_parallelism = 1;
  int64_t dcn_diloco_parallelism = 1;
  int64_t dcn_data_parallelism = -1;
  int64_t dcn_pipeline_parallelism = 1;
  int64_t dcn_fsdp_parallelism = 1;
  int64_t dcn_fsdp_transpose_parallelism = 1;
  int64_t dcn_context_parallelism = 1;
  int64_t dcn_context_usp_ulysses_parallelism = 1;
  int64_t dcn_context_autoregressive_parallelism = 1;
  int64_t dcn_tensor_parallelism = 1;
  int64_t dcn_tensor_transpose_parallelism = 1;
  int64_t dcn_tensor_sequence_parallelism = 1;
  int64_t dcn_expert_parallelism = 1;
  int64_t dcn_autoregressive_parallelism = 1;
  double sharding_tolerance = 0;

  // --- Weights and checkpoints.
  std::string load_parameters_path;                  // a Hugging Face folder or an Orbax `items` folder
  std::vector<std::string> init_missing_parameters;  // regexes
  std::string load_full_state_path;
  bool enable_checkpointing = true;
  bool async_checkpointing = true;
  int64_t checkpoint_period = 0;
  bool save_checkpoint_on_start = true;
  bool save_checkpoint_on_completion = true;
  int64_t max_num_checkpoints_to_keep = -1;  // -1 = all
  int64_t checkpoint_storage_target_data_file_size_bytes = 0;
  bool checkpoint_storage_use_ocdbt = true;
  bool checkpoint_storage_use_zarr3 = true;

  // --- Decoding.
  std::string prompt;
  int64_t max_prefill_predict_length = 0;
  WeightQuantization quantize_weights = WeightQuantization::kNone;
  DecodeStrategy decode_sampling_strategy = DecodeStrategy::kGreedy;
  double decode_sampling_temperature = 1;
  int64_t decode_sampling_top_k = 0;
  double decode_sampling_nucleus_p = -1;
  bool use_chunked_prefill = false;
  int64_t prefill_chunk_size = 0;
  DecodeDraft decode_draft = DecodeDraft::kNone;
  std::string autoregressive_decode_assert;

  // --- Scores of multiple-choice questions.
  std::string mmlu_path;
  int64_t num_shots = 0;
};

}  // namespace fathom
