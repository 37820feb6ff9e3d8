// Names the peer derives from other keys; giving one is a mistake.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kFromBase = "follows from the key of the same name with base_ in front";
constexpr std::string_view kFromMesh = "follows from the ici_* and dcn_* keys";
constexpr std::string_view kFromRun = "follows from base_output_directory and run_name";
constexpr std::string_view kFromOthers = "follows from other keys";

constexpr KeyRow kRows[] = {
    {"emb_dim", kOptInt, "null", kRefused, kFromBase},
    {"mlp_dim", kOptInt, "null", kRefused, kFromBase},
    {"moe_mlp_dim", kOptInt, "null", kRefused, kFromBase},
    {"num_decoder_layers", kOptInt, "null", kRefused, kFromBase},
    {"num_kv_heads", kOptInt, "null", kRefused, kFromBase},
    {"num_query_heads", kOptInt, "null", kRefused, kFromBase},
    {"ici_parallelism", kAny, "null", kRefused, kFromMesh},
    {"dcn_parallelism", kAny, "null", kRefused, kFromMesh},
    {"using_pipeline_parallelism", kOptBool, "null", kRefused, kFromMesh},
    {"context_parallel_size", kOptInt, "null", kRefused, kFromMesh},
    {"num_target_devices", kOptInt, "null", kRefused, kFromMesh},
    {"num_diloco_replicas", kOptInt, "null", kRefused, kFromMesh},
    {"checkpoint_dir", kString, "", kRefused, kFromRun},
    {"metrics_dir", kString, "", kRefused, kFromRun},
    {"tensorboard_dir", kString, "", kRefused, kFromRun},
    {"managed_mldiagnostics_dir", kString, "", kRefused, kFromRun},
    {"global_batch_size_to_train_on", kOptInt, "null", kRefused, kFromOthers},
    {"global_batch_size_to_eval_on", kOptInt, "null", kRefused, kFromOthers},
    {"global_batch_size_to_load", kOptInt, "null", kRefused, kFromOthers},
    {"global_batch_size_to_load_eval", kOptInt, "null", kRefused, kFromOthers},
    {"micro_batch_size_to_train_on", kOptInt, "null", kRefused, kFromOthers},
    {"micro_batch_size_to_eval_on", kOptInt, "null", kRefused, kFromOthers},
    {"rampup_end_step", kOptInt, "null", kRefused, kFromOthers},
    {"tensors_on_device", kStrings, "null", kRefused, kFromOthers},
    {"tensors_to_offload", kStrings, "null", kRefused, kFromOthers},
    {"global_batch_size_to_load_start", kOptInt, "null", kRefused, kFromOthers},
    {"global_batch_size_to_load_increment", kOptInt, "null", kRefused, kFromOthers},
    {"rampup_samples_per_increment_to_load", kOptFloat, "null", kRefused, kFromOthers},
};

}  // namespace

KeyGroup derived_keys() { return {"Derived values", kRows}; }

}  // namespace fathom
