// Keys of loading and saving checkpoints.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kPeriod = "checkpoints are written every checkpoint_period steps";
constexpr std::string_view kRemoved = "old checkpoints are removed where they are";
constexpr std::string_view kWriter = "belongs to the peer's writer of checkpoints";
constexpr std::string_view kReader = "each process reads its own slices";
constexpr std::string_view kMemory = "saving takes one copy of the state and a chunk a thread";
constexpr std::string_view kLayout = "the layout is found from the folder";
constexpr std::string_view kTiers = "checkpoints on local disks are not built";
constexpr std::string_view kTierDetail = "detail of checkpoints on local disks, which are not built";
constexpr std::string_view kStandalone = "belongs to a tool of the peer";
constexpr std::string_view kOnlyOnce = "belongs to the peer's reinforcement learning";
constexpr std::string_view kLora = "adapters are not built";
constexpr std::string_view kLoraDetail = "a detail of adapters, which are off";
constexpr std::string_view kQuantizedState = "quantised checkpoints of the peer are not built";
constexpr std::string_view kConversion = "conversion while loading is not built";

constexpr KeyRow kRows[] = {
    {"load_parameters_path", bind<&Config::load_parameters_path>, "", kBuilt,
     "weights to start from: a folder of safetensors or an Orbax checkpoint, a path or a name in the Hub's cache"},
    {"init_missing_parameters", bind<&Config::init_missing_parameters>, "[]", kBuilt,
     "expressions of parameter paths that load_parameters_path may lack: these begin as in a fresh run"},
    {"load_full_state_path", bind<&Config::load_full_state_path>, "", kBuilt,
     "training state to start from, MaxText's or ours: parameters, moments, step; a checkpoint of the run itself comes "
     "first"},
    {"enable_checkpointing", bind<&Config::enable_checkpointing>, "true", kBuilt,
     "save training states under <run>/checkpoints, and go on from the newest"},
    {"async_checkpointing", bind<&Config::async_checkpointing>, "true", kBuilt,
     "write while training goes on, from a copy of the state in the host's memory"},
    {"checkpoint_period", bind<&Config::checkpoint_period>, "10000", kBuilt, "steps from one save to the next", kSize},
    {"save_checkpoint_on_start", bind<&Config::save_checkpoint_on_start>, "true", kBuilt, "save after step 0 as well"},
    {"save_checkpoint_on_completion", bind<&Config::save_checkpoint_on_completion>, "true", kBuilt,
     "save after the last step as well; a run that a signal ends is saved whatever this says"},
    {"max_num_checkpoints_to_keep", bind_optional_int<&Config::max_num_checkpoints_to_keep>, "null", kBuilt,
     "older checkpoints are removed when a new one is whole; none = keep all", kSize},
    {"checkpoint_storage_target_data_file_size_bytes", bind<&Config::checkpoint_storage_target_data_file_size_bytes>,
     "2147483648", kBuilt, "a data file of a checkpoint that is as large is followed by another one", kBytes},
    {"checkpoint_storage_use_ocdbt", bind<&Config::checkpoint_storage_use_ocdbt>, "true", kBuilt,
     "a database of few files; false = a file for each chunk"},
    {"checkpoint_storage_use_zarr3", bind<&Config::checkpoint_storage_use_zarr3>, "true", kBuilt,
     "version 3 of zarr; false = version 2"},
    {"enable_continuous_checkpointing", kBool, "false", kIgnored, kPeriod},
    {"checkpoint_todelete_subdir", kString, "", kIgnored, kRemoved},
    {"checkpoint_todelete_full_path", kString, "", kIgnored, kRemoved},
    {"colocated_python_checkpointing", kBool, "false", kIgnored, kWriter},
    {"enable_orbax_v1", kBool, "false", kIgnored, kWriter},
    {"enable_single_replica_ckpt_restoring", kBool, "false", kIgnored, kReader},
    {"checkpoint_storage_concurrent_gb", kInt, "96", kIgnored, kMemory},
    {"checkpoint_storage_device_host_concurrent_gb", kOptInt, "8", kIgnored, kMemory},
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
    {"lora.lora_rank", kInt, "0", kIgnored, kLoraDetail},
    {"lora.lora_alpha", kFloat, "0.0", kIgnored, kLoraDetail},
    {"lora.lora_module_path", kString, "", kIgnored, kLoraDetail},
    {"lora.lora_weight_qtype", kString, "", kIgnored, kLoraDetail},
    {"lora.lora_tile_size", kOptInt, "null", kIgnored, kLoraDetail},
    {"lora.lora_restore_path", kString, "", kRefused, kLora},
    {"enable_lora", kBool, "false", kRefused, kLora},
    {"lora_rank", kInt, "0", kIgnored, kLoraDetail},
    {"lora_alpha", kFloat, "0.0", kIgnored, kLoraDetail},
    {"lora_module_path", kString, "", kIgnored, kLoraDetail},
    {"lora_weight_qtype", kString, "", kIgnored, kLoraDetail},
    {"lora_tile_size", kOptInt, "null", kIgnored, kLoraDetail},
    {"checkpoint_is_quantized", kBool, "false", kRefused, kQuantizedState},
    {"save_quantized_params_path", kString, "", kRefused, kQuantizedState},
    {"force_unroll", kBool, "false", kRefused, kConversion},
    {"checkpoint_conversion_fn", kString, "", kRefused, kConversion},
    {"convert_checkpoint_if_possible", kBool, "false", kRefused, kConversion},
};

}  // namespace

KeyGroup checkpoint_keys() { return {"Checkpoints", kRows}; }

}  // namespace fathom
