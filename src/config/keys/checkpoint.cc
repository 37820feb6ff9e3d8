// Keys of loading and saving checkpoints.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kNoSaving = "detail of saving: training writes no checkpoint";
constexpr std::string_view kLayout = "the layout is found from the folder";
constexpr std::string_view kTiers = "checkpoints on local disks are not built";
constexpr std::string_view kTierDetail = "detail of checkpoints on local disks, which are not built";
constexpr std::string_view kStandalone = "belongs to a tool of the peer";
constexpr std::string_view kOnlyOnce = "belongs to the peer's reinforcement learning";
constexpr std::string_view kLora = "adapters are not built";
constexpr std::string_view kQuantizedState = "quantised checkpoints of the peer are not built";
constexpr std::string_view kConversion = "conversion while loading is not built";

constexpr KeyRow kRows[] = {
    {"load_parameters_path", bind<&Config::load_parameters_path>, "", kBuilt,
     "weights to start from: a folder of safetensors or an Orbax checkpoint, a path or a name in the Hub's cache"},
    {"init_missing_parameters", bind<&Config::init_missing_parameters>, "[]", kBuilt,
     "expressions of parameter paths that load_parameters_path may lack: these begin as in a fresh run"},
    {"load_full_state_path", bind<&Config::load_full_state_path>, "", kRefused,
     "starting from a training state is not built"},
    {"enable_checkpointing", bind<&Config::enable_checkpointing>, "true", kIgnored, "training writes no checkpoint"},
    {"async_checkpointing", bind<&Config::async_checkpointing>, "true", kIgnored, "training writes no checkpoint"},
    {"checkpoint_period", bind<&Config::checkpoint_period>, "10000", kIgnored, "training writes no checkpoint", kSize},
    {"save_checkpoint_on_start", bind<&Config::save_checkpoint_on_start>, "true", kIgnored,
     "training writes no checkpoint"},
    {"save_checkpoint_on_completion", bind<&Config::save_checkpoint_on_completion>, "true", kIgnored,
     "training writes no checkpoint"},
    {"max_num_checkpoints_to_keep", bind_optional_int<&Config::max_num_checkpoints_to_keep>, "null", kIgnored,
     "training writes no checkpoint", kSizeOrNone},
    {"enable_continuous_checkpointing", kBool, "false", kIgnored, kNoSaving},
    {"checkpoint_todelete_subdir", kString, "", kIgnored, kNoSaving},
    {"checkpoint_todelete_full_path", kString, "", kIgnored, kNoSaving},
    {"colocated_python_checkpointing", kBool, "false", kIgnored, kNoSaving},
    {"enable_orbax_v1", kBool, "false", kIgnored, kNoSaving},
    {"enable_single_replica_ckpt_restoring", kBool, "false", kIgnored, kNoSaving},
    {"checkpoint_storage_target_data_file_size_bytes", kInt, "2147483648", kIgnored, kNoSaving},
    {"checkpoint_storage_use_ocdbt", kBool, "true", kIgnored, kNoSaving},
    {"checkpoint_storage_use_zarr3", kBool, "true", kIgnored, kNoSaving},
    {"checkpoint_storage_concurrent_gb", kInt, "96", kIgnored, kNoSaving},
    {"checkpoint_storage_device_host_concurrent_gb", kOptInt, "8", kIgnored, kNoSaving},
    {"source_checkpoint_layout", kString, "orbax", kIgnored, kLayout},
    {"enable_emergency_checkpoint", kBool, "false", kRefused, kTiers},
    {"enable_multi_tier_checkpointing", kBool, "false", kRefused, kTiers},
    {"use_replicator_service", kBool, "false", kRefused, kTiers},
    {"local_checkpoint_directory", kString, "", kIgnored, kTierDetail},
    {"local_checkpoint_period", kInt, "0", kIgnored, kTierDetail},
    {"multi_tier_checkpointing_backup_interval_minutes", kOptInt, "null", kIgnored, kTierDetail},
    {"mtc_data_parallelism", kInt, "0", kIgnored, kTierDetail},
    {"replicator_backup_interval_minutes", kInt, "0", kIgnored, kTierDetail},
    {"multi_tier_checkpointing_backup_interval_steps", kOptInt, "null", kIgnored, kTierDetail},
    {"standalone_checkpointer_per_step_interval", kFloat, "0.0", kIgnored, kStandalone},
    {"standalone_checkpointer_drop_page_cache_before_restore", kBool, "false", kIgnored, kStandalone},
    {"standalone_checkpointer_enable_restore_in_loop", kBool, "true", kIgnored, kStandalone},
    {"standalone_checkpointer_start_from_checkpoint", kBool, "false", kIgnored, kStandalone},
    {"load_checkpoint_only_once", kBool, "false", kIgnored, kOnlyOnce},
    {"lora_input_adapters_path", kString, "", kRefused, kLora},
    {"hf_lora_adapter_path", kString, "", kRefused, kLora},
    {"lora.enable_lora", kBool, "false", kRefused, kLora},
    {"lora.lora_rank", kInt, "0", kRefused, kLora},
    {"lora.lora_alpha", kFloat, "0.0", kRefused, kLora},
    {"lora.lora_module_path", kString, "", kRefused, kLora},
    {"lora.lora_weight_qtype", kString, "", kRefused, kLora},
    {"lora.lora_tile_size", kOptInt, "null", kRefused, kLora},
    {"lora.lora_restore_path", kString, "", kRefused, kLora},
    {"checkpoint_is_quantized", kBool, "false", kRefused, kQuantizedState},
    {"save_quantized_params_path", kString, "", kRefused, kQuantizedState},
    {"force_unroll", kBool, "false", kRefused, kConversion},
    {"checkpoint_conversion_fn", kString, "", kRefused, kConversion},
    {"convert_checkpoint_if_possible", kBool, "false", kRefused, kConversion},
};

}  // namespace

KeyGroup checkpoint_keys() { return {"Checkpoints", kRows}; }

}  // namespace fathom
