// Keys of logging services, profilers and dumps: none changes a number of the training.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kGoodput = "goodput recording talks to a cloud service";
constexpr std::string_view kCloud = "monitoring in a cloud service";
constexpr std::string_view kService = "sends metrics to a service";
constexpr std::string_view kExtraMetrics = "extra metrics of the peer";
constexpr std::string_view kProfiler = "the profile is of sampled CPU time, not a trace";
constexpr std::string_view kDump = "no dump is written";
constexpr std::string_view kDebug = "debugging of the peer's own code";

constexpr KeyRow kRows[] = {
    {"enable_goodput_recording", kBool, "false", kIgnored, kGoodput},
    {"monitor_goodput", kBool, "false", kIgnored, kGoodput},
    {"goodput_upload_interval_seconds", kInt, "30", kIgnored, kGoodput},
    {"enable_pathways_goodput", kBool, "false", kIgnored, kGoodput},
    {"monitor_step_time_deviation", kBool, "true", kIgnored, kGoodput},
    {"step_deviation_interval_seconds", kInt, "30", kIgnored, kGoodput},
    {"enable_gcp_goodput_metrics", kBool, "true", kIgnored, kGoodput},
    {"enable_gcp_step_deviation_metrics", kBool, "true", kIgnored, kGoodput},
    {"goodput_job_name", kString, "", kIgnored, kGoodput},
    {"report_heartbeat_metric_for_gcp_monitoring", kBool, "false", kIgnored, kCloud},
    {"heartbeat_reporting_interval_in_seconds", kInt, "5", kIgnored, kCloud},
    {"report_performance_metric_for_gcp_monitoring", kBool, "false", kIgnored, kCloud},
    {"managed_mldiagnostics", kBool, "false", kIgnored, kCloud},
    {"managed_mldiagnostics_run_group", kString, "", kIgnored, kCloud},
    {"managed_mldiagnostics_on_demand_profiling", kBool, "true", kIgnored, kCloud},
    {"managed_mldiagnostics_region", kString, "", kIgnored, kCloud},
    {"managed_mldiagnostics_storage_path", kString, "", kIgnored, kCloud},
    {"enable_checkpoint_cloud_logger", kBool, "false", kIgnored, kCloud},
    {"collect_stack_trace", kBool, "false", kIgnored, kCloud},
    {"stack_trace_to_cloud", kBool, "false", kIgnored, kCloud},
    {"stack_trace_interval_seconds", kInt, "600", kIgnored, kCloud},
    {"use_vertex_tensorboard", kBool, "false", kIgnored, kService},
    {"vertex_tensorboard_project", kString, "", kIgnored, kService},
    {"vertex_tensorboard_region", kString, "", kIgnored, kService},
    {"enable_wandb", kBool, "false", kIgnored, kService},
    {"wandb_project_name", kString, "maxtext", kIgnored, kService},
    {"wandb_run_name", kString, "", kIgnored, kService},
    {"enable_mllog", kBool, "false", kIgnored, kService},
    {"mllog_file", kString, "", kIgnored, kService},
    {"gcs_metrics", kBool, "false", kIgnored, kService},
    {"save_config_to_gcs", kBool, "false", kIgnored, kService},
    {"prometheus_port", kInt, "0", kIgnored, kService},
    {"record_internal_nn_metrics", kInt, "0", kIgnored, kExtraMetrics},
    {"enable_tunix_perf_metrics", kBool, "false", kIgnored, kExtraMetrics},
    {"profiler", bind<&Config::profiler>, "", kBuilt,
     "not empty (`xplane`): samples train steps on the CPU, profile.txt and profile.json in the run folder"},
    {"upload_all_profiler_results", kBool, "false", kIgnored, kProfiler},
    {"skip_first_n_steps_for_profiler", bind<&Config::skip_first_n_steps_for_profiler>, "1", kBuilt,
     "the first step that the profiler samples", kSizeOrNone},
    {"profiler_steps", bind<&Config::profiler_steps>, "5", kBuilt, "how many steps the profiler samples", kSize},
    {"profile_cleanly", kBool, "true", kIgnored, kProfiler},
    {"profile_periodically_period", kInt, "-1", kIgnored, kProfiler},
    {"hide_profiler_step_metric", kBool, "false", kIgnored, kProfiler},
    {"enable_jax_profiler", kBool, "false", kIgnored, kProfiler},
    {"jax_profiler_port", kInt, "9999", kIgnored, kProfiler},
    {"xprof_tpu_power_trace_level", kInt, "0", kIgnored, kProfiler},
    {"xprof_e2e_enable_fw_throttle_event", kBool, "false", kIgnored, kProfiler},
    {"xprof_e2e_enable_fw_power_level_event", kBool, "false", kIgnored, kProfiler},
    {"xprof_e2e_enable_fw_thermal_event", kBool, "false", kIgnored, kProfiler},
    {"profile_power_events", kBool, "false", kIgnored, kProfiler},
    {"enable_tpu_profiling_options", kBool, "false", kIgnored, kProfiler},
    {"tpu_num_chips_to_profile_per_task", kInt, "1", kIgnored, kProfiler},
    {"tpu_num_sparse_cores_to_trace", kInt, "2", kIgnored, kProfiler},
    {"tpu_num_sparse_core_tiles_to_trace", kInt, "1", kIgnored, kProfiler},
    {"dump_hlo", kBool, "false", kIgnored, kDump},
    {"dump_step", kInt, "-1", kIgnored, kDump},
    {"dump_hlo_local_dir", kString, "/tmp/xla_dump/", kIgnored, kDump},
    {"dump_hlo_delete_local_after", kBool, "true", kIgnored, kDump},
    {"dump_hlo_gcs_dir", kString, "", kIgnored, kDump},
    {"dump_hlo_module_name", kString, "jit_train_step", kIgnored, kDump},
    {"dump_hlo_local_module_name", kString, "jit_train_step", kIgnored, kDump},
    {"dump_hlo_xla_flags", kString, "", kIgnored, kDump},
    {"dump_hlo_upload_all", kBool, "false", kIgnored, kDump},
    {"dump_jaxpr", kBool, "false", kIgnored, kDump},
    {"dump_jaxpr_local_dir", kString, "/tmp/jaxpr_dump/", kIgnored, kDump},
    {"dump_jaxpr_delete_local_after", kBool, "true", kIgnored, kDump},
    {"dump_jaxpr_gcs_dir", kString, "", kIgnored, kDump},
    {"jax_debug_log_modules", kString, "", kIgnored, kDebug},
    {"max_checkify", kBool, "false", kIgnored, kDebug},
};

}  // namespace

KeyGroup services_keys() { return {"Logging services and profiling", kRows}; }

}  // namespace fathom
