// Keys of the device mesh and of the sharding table.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kNoAxis = "has no mesh axis in the peer either";
constexpr std::string_view kCustomMesh =
    "one mesh serves training and evaluation: give mesh_axes, logical_axis_rules or custom_mesh_and_rule";
constexpr std::string_view kInputSharding = "inputs are split by logical_axis_rules alone";
constexpr std::string_view kZero1 =
    "the optimizer's state is split as the parameters are: ici_fsdp_parallelism splits both";
constexpr std::string_view kPartitioner =
    "choices inside the peer's partitioning; programs here always carry Shardy's form";
constexpr std::string_view kContext = "how a split sequence is balanced is chosen here";
constexpr std::string_view kInhomogeneous = "belongs to other model families";
constexpr std::string_view kPipelineStages = "pipeline stages are not built";
constexpr std::string_view kDiloco = "diloco is not built";
constexpr std::string_view kDilocoDetail = "detail of diloco, which is not built";

// The layers read it: what it stands for is in mesh_axes and logical_axis_rules once they are resolved.
constexpr KeyBinding kCustomRules = {
    .type = KeyType::kString,
    .set = [](Config&, const KeyValue&) {},
    .get = [](const Config&) -> KeyValue { return std::string(); },
    .choices = [] { return std::span<const std::string_view>(); },
};

constexpr std::string_view kMeshAxes =
    "[diloco, data, stage, fsdp, fsdp_transpose, context, context_usp_ulysses, context_autoregressive, tensor, "
    "tensor_sequence, expert, autoregressive]";

// The peer's rules for the logical axes that DeepSeek models have. Weights first, then activations, then caches.
constexpr std::string_view kAxisRules = R"([
  [mlp, [fsdp_transpose, tensor, tensor_sequence, autoregressive]],
  [mlp_moe, [fsdp_transpose, tensor, tensor_sequence, autoregressive]],
  [vocab, [tensor, tensor_sequence, autoregressive]],
  [heads, [tensor, tensor_sequence, autoregressive]],
  [q_heads, [tensor, tensor_sequence, autoregressive]],
  [kv_heads, [tensor, tensor_sequence, autoregressive]],
  [embed, [fsdp, fsdp_transpose, context, context_usp_ulysses, expert]],
  [embed, [fsdp, context, context_usp_ulysses, expert]],
  [embed_attn, [fsdp, fsdp_transpose, context, context_usp_ulysses, expert]],
  [embed_vocab, [fsdp, fsdp_transpose, context, context_usp_ulysses, expert]],
  [q_lora, [fsdp, fsdp_transpose, context, context_usp_ulysses, expert]],
  [q_lora, [fsdp, context, context_usp_ulysses, expert]],
  [kv_lora, [fsdp, fsdp_transpose, context, context_usp_ulysses, expert]],
  [kv_lora, [fsdp, context, context_usp_ulysses, expert]],
  [embed_moe, [fsdp, fsdp_transpose, context, context_usp_ulysses]],
  [embed_moe, [fsdp, context, context_usp_ulysses]],
  [embed_router, [fsdp, fsdp_transpose, context, context_usp_ulysses]],
  [embed_router, [fsdp, context, context_usp_ulysses]],
  [exp, [expert]],
  [norm, [tensor]],
  [layers, [stage]],
  [dense_layers, []],
  [moe_layers, []],
  [qkv, []],
  [kv, []],
  [kv_head_dim, []],
  [q_lora_up_proj, []],
  [kv_lora_up_proj, []],
  [activation_embed_and_logits_batch, [data, stage, fsdp, fsdp_transpose, expert]],
  [activation_batch, [data, fsdp, fsdp_transpose, expert]],
  [activation_batch_attn, [data, fsdp, fsdp_transpose, expert]],
  [activation_batch_moe, [data, fsdp, fsdp_transpose, expert]],
  [activation_kv_batch, [data, fsdp, fsdp_transpose, expert]],
  [segment_ids_batch, [data, fsdp, fsdp_transpose, expert]],
  [activation_length, [context, context_usp_ulysses]],
  [activation_length_attn, [context, context_usp_ulysses]],
  [activation_length_moe, [context, context_usp_ulysses]],
  [activation_q_length, [context, context_usp_ulysses]],
  [activation_kv_length, []],
  [activation_norm_length, [tensor_sequence, context, context_usp_ulysses]],
  [activation_norm_length_moe, [tensor_sequence, context, context_usp_ulysses]],
  [activation_embed, [tensor]],
  [activation_embed_attn, [tensor]],
  [activation_embed_moe, [tensor]],
  [activation_mlp, [tensor, tensor_sequence]],
  [activation_mlp_moe, [tensor, tensor_sequence]],
  [activation_heads, [tensor, tensor_sequence, autoregressive]],
  [activation_kv_heads, [tensor, tensor_sequence]],
  [activation_kv, [tensor, tensor_sequence]],
  [activation_kv_head_dim, [tensor, tensor_sequence]],
  [activation_vocab, [tensor, tensor_sequence]],
  [activation_vocab, [tensor]],
  [activation_vocab, [tensor_sequence]],
  [activation_exp, [expert]],
  [decode_batch, [data, fsdp, fsdp_transpose, expert]],
  [activation_prefill_kv_batch, [data, fsdp, fsdp_transpose, expert]],
  [prefill_activation_length, [context, context_usp_ulysses]],
  [cache_heads, [autoregressive, tensor, tensor_sequence]],
  [cache_heads_none, []],
  [cache_batch, []],
  [cache_batch_prefill, []],
  [cache_sequence, []],
  [cache_kv, []],
])";

constexpr KeyRow kRows[] = {
    {"mesh_axes", bind<&Config::mesh_axes>, kMeshAxes, kBuilt, "names of the mesh axes, outermost first"},
    {"logical_axis_rules", bind<&Config::logical_axis_rules>, kAxisRules, kBuilt,
     "sharding table: [logical axis, [mesh axes]]; a repeated name is a fallback"},
    {"ici_diloco_parallelism", bind<&Config::ici_diloco_parallelism>, "1", kRefused, "replicas of diloco are not built",
     kDevices},
    {"ici_data_parallelism", bind<&Config::ici_data_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: data", kDevices},
    {"ici_pipeline_parallelism", bind<&Config::ici_pipeline_parallelism>, "1", kRefused,
     "pipeline stages are not built", kDevices},
    {"ici_fsdp_parallelism", bind<&Config::ici_fsdp_parallelism>, "-1", kBuilt,
     "devices inside a slice over which to split: data, weights split; -1 = all that are left", kDevices},
    {"ici_fsdp_transpose_parallelism", bind<&Config::ici_fsdp_transpose_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: data, weights split along their other dimension", kDevices},
    {"ici_context_parallelism", bind<&Config::ici_context_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: sequence", kDevices},
    {"ici_context_usp_ulysses_parallelism", bind<&Config::ici_context_usp_ulysses_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: sequence, exchanged for heads in attention", kDevices},
    {"ici_context_autoregressive_parallelism", bind<&Config::ici_context_autoregressive_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: sequence in decoding", kDevices},
    {"ici_tensor_parallelism", bind<&Config::ici_tensor_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: heads, MLP and vocabulary", kDevices},
    {"ici_tensor_transpose_parallelism", bind<&Config::ici_tensor_transpose_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: hidden state", kDevices},
    {"ici_tensor_sequence_parallelism", bind<&Config::ici_tensor_sequence_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: heads and MLP, the sequence around norms", kDevices},
    {"ici_expert_parallelism", bind<&Config::ici_expert_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: experts", kDevices},
    {"ici_autoregressive_parallelism", bind<&Config::ici_autoregressive_parallelism>, "1", kBuilt,
     "devices inside a slice over which to split: weights in decoding", kDevices},
    {"dcn_diloco_parallelism", bind<&Config::dcn_diloco_parallelism>, "1", kRefused, "replicas of diloco are not built",
     kDevices},
    {"dcn_data_parallelism", bind<&Config::dcn_data_parallelism>, "-1", kBuilt,
     "devices between slices over which to split: data; -1 = all that are left", kDevices},
    {"dcn_pipeline_parallelism", bind<&Config::dcn_pipeline_parallelism>, "1", kRefused,
     "pipeline stages are not built", kDevices},
    {"dcn_fsdp_parallelism", bind<&Config::dcn_fsdp_parallelism>, "1", kBuilt,
     "devices between slices over which to split: data, weights split", kDevices},
    {"dcn_fsdp_transpose_parallelism", bind<&Config::dcn_fsdp_transpose_parallelism>, "1", kBuilt,
     "devices between slices over which to split: data, weights split along their other dimension", kDevices},
    {"dcn_context_parallelism", bind<&Config::dcn_context_parallelism>, "1", kBuilt,
     "devices between slices over which to split: sequence", kDevices},
    {"dcn_context_usp_ulysses_parallelism", bind<&Config::dcn_context_usp_ulysses_parallelism>, "1", kBuilt,
     "devices between slices over which to split: sequence, exchanged for heads in attention", kDevices},
    {"dcn_context_autoregressive_parallelism", bind<&Config::dcn_context_autoregressive_parallelism>, "1", kBuilt,
     "devices between slices over which to split: sequence in decoding", kDevices},
    {"dcn_tensor_parallelism", bind<&Config::dcn_tensor_parallelism>, "1", kBuilt,
     "devices between slices over which to split: heads, MLP and vocabulary", kDevices},
    {"dcn_tensor_transpose_parallelism", bind<&Config::dcn_tensor_transpose_parallelism>, "1", kBuilt,
     "devices between slices over which to split: hidden state", kDevices},
    {"dcn_tensor_sequence_parallelism", bind<&Config::dcn_tensor_sequence_parallelism>, "1", kBuilt,
     "devices between slices over which to split: heads and MLP, the sequence around norms", kDevices},
    {"dcn_expert_parallelism", bind<&Config::dcn_expert_parallelism>, "1", kBuilt,
     "devices between slices over which to split: experts", kDevices},
    {"dcn_autoregressive_parallelism", bind<&Config::dcn_autoregressive_parallelism>, "1", kBuilt,
     "devices between slices over which to split: weights in decoding", kDevices},
    {"num_slices", bind<&Config::num_slices>, "-1", kBuilt, "slices; -1 = as the machine says", kDevices},
    {"sharding_tolerance", bind<&Config::sharding_tolerance>, "0.02", kIgnored,
     "part of the parameters that may stay whole on every device", kFraction},
    {"ici_sequence_parallelism", kInt, "1", kRefused, kNoAxis},
    {"dcn_sequence_parallelism", kInt, "1", kRefused, kNoAxis},
    {"custom_mesh", kString, "", kRefused, kCustomMesh},
    {"custom_mesh_and_rule", kCustomRules, "", kBuilt,
     "a set of mesh_axes and logical_axis_rules by its name in configs/mesh_and_rule: pure-fsdp, shard-exp-on-fsdp, "
     "ep-as-cp, cp-as-ep, ep-as-dp"},
    {"custom_mesh_and_rule_for_eval", kString, "", kRefused, kCustomMesh},
    {"logical_axis_rules_for_eval", kAny, "[]", kRefused, kCustomMesh},
    {"data_sharding", kAny,
     "[[data, stage, fsdp, fsdp_transpose, context, context_usp_ulysses, context_autoregressive, tensor, "
     "tensor_sequence, expert, autoregressive]]",
     kRefused, kInputSharding},
    {"context_sharding", kString, "context", kRefused, kInputSharding},
    {"ulysses_context_sharding", kString, "context_usp_ulysses", kRefused, kInputSharding},
    {"input_data_sharding_logical_axes", kStrings, "[activation_embed_and_logits_batch, activation_norm_length]",
     kRefused, kInputSharding},
    {"shard_optimizer_over_data", kBool, "false", kRefused, kZero1},
    {"allow_split_physical_axes", kBool, "false", kIgnored, kPartitioner},
    {"optimize_mesh_for_tpu_v6e", kBool, "false", kIgnored, kPartitioner},
    {"shard_mode", kString, "auto", kIgnored, kPartitioner},
    {"shardy", kBool, "true", kIgnored, kPartitioner},
    {"check_vma", kBool, "false", kIgnored, kPartitioner},
    {"remove_size_one_mesh_axis_from_type", kBool, "true", kIgnored, kPartitioner},
    {"dense_fsdp_use_two_stage_all_gather", kBool, "false", kIgnored, kPartitioner},
    {"debug_sharding", kBool, "false", kIgnored, kPartitioner},
    {"context_parallel_load_balance", kBool, "true", kIgnored, kContext},
    {"context_parallel_strategy", kString, "all_gather", kIgnored, kContext},
    {"context_parallel_reorder_strategy", kString, "auto", kIgnored, kContext},
    {"inhomogeneous_layer_cycle_interval", kInt, "1", kRefused, kInhomogeneous},
    {"pipeline_fsdp_ag_per_repeat", kBool, "false", kRefused, kPipelineStages},
    {"num_layers_per_pipeline_stage", kInt, "1", kRefused, kPipelineStages},
    {"num_pipeline_repeats", kInt, "-1", kRefused, kPipelineStages},
    {"pipeline_parallel_layers", kInt, "-1", kRefused, kPipelineStages},
    {"num_pipeline_microbatches", kInt, "-1", kRefused, kPipelineStages},
    {"pipeline_delay_activation_forwarding", kBool, "false", kRefused, kPipelineStages},
    {"pipeline_fsdp_ag_once", kBool, "false", kRefused, kPipelineStages},
    {"scan_pipeline_iterations", kBool, "true", kRefused, kPipelineStages},
    {"scan_pipeline_repeats", kBool, "false", kRefused, kPipelineStages},
    {"scan_layers_per_stage", kBool, "false", kRefused, kPipelineStages},
    {"set_remat_policy_on_pipeline_iterations", kBool, "true", kRefused, kPipelineStages},
    {"set_remat_policy_on_layers_per_stage", kBool, "false", kRefused, kPipelineStages},
    {"enable_diloco", kBool, "false", kRefused, kDiloco},
    {"diloco_sync_period", kInt, "36", kRefused, kDilocoDetail},
    {"diloco_outer_lr", kFloat, "0.3", kRefused, kDilocoDetail},
    {"diloco_outer_momentum", kFloat, "0.9", kRefused, kDilocoDetail},
    {"dcn_bandwidth_limit", kString, "", kRefused, kDilocoDetail},
    {"dcn_bandwidth_burst", kString, "10mb", kRefused, kDilocoDetail},
    {"dcn_bandwidth_latency", kString, "50ms", kRefused, kDilocoDetail},
    {"dcn_bandwidth_interface", kString, "eth0", kRefused, kDilocoDetail},
    {"enable_streaming_diloco", kBool, "false", kRefused, kDilocoDetail},
    {"num_diloco_fragments", kOptInt, "null", kRefused, kDilocoDetail},
    {"use_sequential_layers", kBool, "false", kRefused, kDilocoDetail},
    {"num_communication_overlapping_steps", kInt, "0", kRefused, kDilocoDetail},
    {"communication_overlapping_alpha", kFloat, "0.0", kRefused, kDilocoDetail},
};

}  // namespace

KeyGroup mesh_keys() { return {"Device mesh and sharding", kRows}; }

}  // namespace fathom
