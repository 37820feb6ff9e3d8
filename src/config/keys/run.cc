// Keys of the run as a whole: names, folders, hardware, compilation, start-up of processes.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kController = "single-controller and sub-slice runs are not built";
constexpr std::string_view kInternalCompile = "machines have names here: compile_topology";
constexpr std::string_view kEstimator = "the search for fitting settings is not built; train_compile names them";
constexpr std::string_view kOtherBackend = "another model backend of the peer";
constexpr std::string_view kModuleSystem = "choice between the peer's two module systems";
constexpr std::string_view kDispatch = "how far ahead steps are dispatched is fixed here";
constexpr std::string_view kElastic = "restarting on fewer machines by itself is not built";
constexpr std::string_view kElasticDetail = "detail of elastic_enabled, which is not built";

constexpr KeyRow kRows[] = {
    {"model_name", bind<&Config::model_name>, "", kBuilt,
     "a name of configs/models, `default` (dimensions from the keys alone), or `auto` (from config.json in "
     "load_parameters_path)"},
    {"run_name", bind<&Config::run_name>, "", kBuilt,
     "folder of the run; when empty JOBSET_NAME, else <model_name>_<time>"},
    {"base_output_directory", bind<&Config::base_output_directory>, "", kBuilt,
     "where run folders are made; when empty ./fathom_output"},
    {"override_model_config", bind<&Config::override_model_config>, "false", kBuilt,
     "lets the command line and the environment change keys of the model file"},
    {"override_logical_axis_rules", bind<&Config::override_logical_axis_rules>, "false", kBuilt,
     "logical_axis_rules of a later layer replace the whole table instead of the rules of the same name"},
    {"defaults", bind<&Config::defaults>, "fathom", kBuilt,
     "`maxtext` restores the peer's defaults where ours differ (docs/from_maxtext.md)"},
    {"log_config", bind<&Config::log_config>, "false", kBuilt,
     "logs every key that a layer sets, and where, beside the summary"},
    {"hardware", bind<&Config::hardware>, "", kBuilt,
     "cpu, tpu or gpu (gpu_multiprocess is gpu); when empty the best that is installed"},
    {"plugin", bind<&Config::plugin>, "", kBuilt, "path of the PJRT plugin to load instead of the installed one"},
    {"cpu_device_count", bind<&Config::cpu_device_count>, "1", kBuilt, "virtual devices of the CPU plugin",
     kVirtualDevices},
    {"kernels", bind<&Config::kernels>, "auto", kBuilt,
     "fused kernels: `auto` where there is one, `require` makes a fallback an error, `off` uses the composed forms"},
    {"jax_cache_dir", bind<&Config::jax_cache_dir>, "~/.cache/fathom", kBuilt,
     "on-disk compile cache; none = no cache"},
    {"compile_xla_flags", bind<&Config::compile_xla_flags>, "", kBuilt,
     "XLA flags for the compile options, separated by spaces: --name=value"},
    {"compile_topology", bind<&Config::compile_topology>, "", kBuilt,
     "the machine that train_compile compiles for, such as v5p-256 or h100-8; when empty the one it runs on"},
    {"compile_topology_num_slices", bind<&Config::compile_topology_num_slices>, "-1", kBuilt,
     "how many such machines, joined by the data-centre network; -1 is 1", kDevices},
    {"compiled_trainstep_file", bind<&Config::compiled_trainstep_file>, "", kBuilt,
     "the compiled train step that train_compile writes and train takes instead of compiling"},
    {"skip_jax_distributed_system", bind<&Config::skip_jax_distributed_system>, "false", kBuilt,
     "the process runs alone, whatever the cluster's environment says (docs/multihost.md)"},
    {"jax_distributed_initialization_timeout", bind<&Config::jax_distributed_initialization_timeout>, "300", kBuilt,
     "seconds that the processes of a GPU job wait for each other at the start", kSeconds},
    {"coordinator_address", bind<&Config::coordinator_address>, "", kBuilt,
     "host:port of process 0 of a GPU job; when empty from the cluster's environment"},
    {"coordinator_bind_address", bind<&Config::coordinator_bind_address>, "", kBuilt,
     "address on which process 0 of a GPU job listens, with a port or that of coordinator_address; when empty "
     "JAX_COORDINATOR_BIND_ADDRESS, else all addresses of its machine"},
    {"process_count", bind<&Config::process_count>, "-1", kBuilt,
     "processes of a GPU job; -1 = from the cluster's environment, else 1", kDevices},
    {"process_index", bind<&Config::process_index>, "-1", kBuilt,
     "this process among them, from 0; -1 = from the cluster's environment", kIndex},
    {"local_device_ids", bind<&Config::local_device_ids>, "", kBuilt,
     "GPUs of this machine that this process uses, such as 0,1; when empty one for each process that SLURM or Open MPI "
     "starts on it, all for a single one"},
    {"enable_single_controller", kBool, "false", kRefused, kController},
    {"subslice_shape", kString, "", kRefused, kController},
    {"internal_compile", kBool, "false", kRefused, kInternalCompile},
    {"internal_compile_num_devices", kInt, "-1", kRefused, kInternalCompile},
    {"write_estimator_result", kBool, "false", kRefused, kEstimator},
    {"use_m3_model", kBool, "false", kRefused, kOtherBackend},
    {"sharding_strategy", kString, "", kRefused, kOtherBackend},
    {"enable_nnx", kBool, "true", kIgnored, kModuleSystem},
    {"pure_nnx", kBool, "true", kIgnored, kModuleSystem},
    {"pure_nnx_decoder", kBool, "true", kIgnored, kModuleSystem},
    {"max_inflight_computations", kInt, "2", kIgnored, kDispatch},
    {"block_state_before_run_start", kBool, "false", kIgnored, kDispatch},
    {"warm_input_reshard_before_run_start", kBool, "false", kIgnored, kDispatch},
    {"elastic_enabled", kBool, "false", kRefused, kElastic},
    {"enable_autocheckpoint", kBool, "false", kRefused, kElastic},
    {"elastic_timeout_seconds", kInt, "300", kIgnored, kElasticDetail},
    {"elastic_max_retries", kInt, "10", kIgnored, kElasticDetail},
    {"elastic_min_slice_count", kInt, "-1", kIgnored, kElasticDetail},
    {"elastic_backup_kind", kString, "snapshot", kIgnored, kElasticDetail},
};

}  // namespace

KeyGroup run_keys() { return {"Run, hardware and programs", kRows}; }

}  // namespace fathom
