// Keys of training: number formats, the loop, the optimizer and its schedule, evaluation.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kTiling = "detail of num_vocab_tiling";
constexpr std::string_view kDropoutSwitch = "nothing is dropped: dropout_rate is 0";
constexpr std::string_view kDropout = "dropout is not built";
constexpr std::string_view kSpikes = "skipping steps is not built";
constexpr std::string_view kDiffusion = "only causal language models are trained";
constexpr std::string_view kMuon = "AdamW and SGD are built";
constexpr std::string_view kRampup = "a growing batch is not built";
constexpr std::string_view kOffload =
    "keeping state in host memory is not built: mu_dtype=bfloat16 or more devices make it smaller";

constexpr KeyRow kRows[] = {
    {"dtype", bind<&Config::dtype>, "bfloat16", kBuilt, "activations"},
    {"weight_dtype", bind<&Config::weight_dtype>, "float32", kBuilt, "parameters"},
    {"grad_dtype", bind<&Config::grad_dtype>, "float32", kBuilt, "float32 gradients are cast to it before clipping"},
    {"mu_dtype", bind<&Config::mu_dtype>, "", kBuilt, "first moment of AdamW; empty = weight_dtype"},
    {"matmul_precision", bind<&Config::matmul_precision>, "default", kBuilt,
     "`default` (or bfloat16), `high`, `highest` (or float32)"},
    {"activations_in_float32", bind<&Config::activations_in_float32>, "false", kBuilt,
     "the MLP's nonlinearity in float32"},
    {"logits_dot_in_fp32", bind<&Config::logits_dot_in_fp32>, "false", kBuilt,
     "the product of the output head in float32"},
    {"cast_logits_to_fp32", bind<&Config::cast_logits_to_fp32>, "true", kBuilt, "logits cast to float32"},
    {"z_loss_multiplier", bind<&Config::z_loss_multiplier>, "0.0", kBuilt,
     "weight of the squared log of the softmax's denominator", kFactor},
    {"steps", bind<&Config::steps>, "150001", kBuilt, "training steps; -1 = learning_rate_schedule_steps",
     kFromMinusOne},
    {"per_device_batch_size", bind<&Config::per_device_batch_size>, "12.0", kBuilt,
     "rows of one device and micro-batch; may be a fraction", kRowsOfDevice},
    {"max_target_length", bind<&Config::max_target_length>, "2048", kBuilt, "tokens of a row", kLength},
    {"gradient_accumulation_steps", bind<&Config::gradient_accumulation_steps>, "1", kBuilt, "micro-batches of a step",
     kSize},
    {"reuse_example_batch", bind<&Config::reuse_example_batch>, "0", kBuilt,
     "above 0: every step takes the first batch", kSizeOrNone},
    {"init_weights_seed", bind<&Config::init_weights_seed>, "0", kBuilt, "seed of the initial weights"},
    {"abort_on_nan_loss", bind<&Config::abort_on_nan_loss>, "true", kBuilt,
     "a loss that is not a number ends the run with exit code 1"},
    {"abort_on_inf_loss", bind<&Config::abort_on_inf_loss>, "true", kBuilt,
     "an infinite loss ends the run with exit code 1"},
    {"enable_tensorboard", bind<&Config::enable_tensorboard>, "true", kBuilt,
     "writes TensorBoard events into the run folder"},
    {"metrics_file", bind<&Config::metrics_file>, "", kBuilt, "a second place for metrics.jsonl"},
    {"overwrite", bind<&Config::overwrite>, "false", kBuilt,
     "a run may take a folder that holds the metrics of another one, and drop them"},
    {"log_period", bind<&Config::log_period>, "100", kBuilt,
     "steps between flushes of the metrics files, and between records of the experts' loads", kSize},
    {"opt_type", bind<&Config::opt_type>, "adamw", kBuilt,
     "`adamw`, or `sgd`: plain, without momentum, moments or weight decay"},
    {"learning_rate", bind<&Config::learning_rate>, "3.0e-05", kBuilt, "peak of the schedule", kRate},
    {"lr_schedule_type", bind<&Config::lr_schedule_type>, "cosine", kBuilt,
     "`cosine`, or `wsd` (warm-up, constant, decay)"},
    {"warmup_steps_fraction", bind<&Config::warmup_steps_fraction>, "0.1", kBuilt, "part of the schedule that warms up",
     kFraction},
    {"learning_rate_final_fraction", bind<&Config::learning_rate_final_fraction>, "0.1", kBuilt,
     "end of the schedule as a fraction of the peak", kFraction},
    {"learning_rate_schedule_steps", bind<&Config::learning_rate_schedule_steps>, "-1", kBuilt,
     "length of the schedule; -1 = steps", kFromMinusOne},
    {"wsd_decay_steps_fraction", bind<&Config::wsd_decay_steps_fraction>, "0.1", kBuilt,
     "wsd: part of the schedule that decays", kFraction},
    {"wsd_decay_style", bind<&Config::wsd_decay_style>, "linear", kBuilt, "wsd: `linear` or `cosine`"},
    {"adam_b1", bind<&Config::adam_b1>, "0.9", kBuilt, "decay of the first moment", kDecay},
    {"adam_b2", bind<&Config::adam_b2>, "0.95", kBuilt, "decay of the second moment", kDecay},
    {"adam_eps", bind<&Config::adam_eps>, "1.0e-08", kBuilt, "added to the root of the second moment", kFactor},
    {"adam_eps_root", bind<&Config::adam_eps_root>, "0.0", kBuilt, "added inside that root", kFactor},
    {"adam_weight_decay", bind<&Config::adam_weight_decay>, "0.1", kBuilt,
     "decoupled weight decay, times the learning rate", kFactor},
    {"adamw_mask", bind<&Config::adamw_mask>, "[]", kBuilt,
     "regular expressions; parameters that match are not decayed"},
    {"trainable_parameters_mask", bind<&Config::trainable_parameters_mask>, "[]", kBuilt,
     "regular expressions; only parameters that match are trained; empty = all"},
    {"gradient_clipping_threshold", bind<&Config::gradient_clipping_threshold>, "1.0", kBuilt,
     "bound of the global norm of the gradients; 0 = none", kFactor},
    {"eval_interval", bind<&Config::eval_interval>, "-1", kBuilt, "steps between evaluations; 0 or less = none",
     kFromMinusOne},
    {"eval_steps", bind<&Config::eval_steps>, "-1", kBuilt, "batches of an evaluation; -1 = all", kFromMinusOne},
    {"eval_start_step", bind<&Config::eval_start_step>, "0", kBuilt, "first step that may be followed by an evaluation",
     kSizeOrNone},
    {"eval_per_device_batch_size", bind<&Config::eval_per_device_batch_size>, "0.0", kBuilt,
     "rows of one device in evaluation; 0 = per_device_batch_size", kSizeOrNone},
    {"target_eval_loss", bind<&Config::target_eval_loss>, "0.0", kBuilt,
     "an evaluation loss at or below it ends training; 0 = off", kFactor},
    {"sample_prompt", bind<&Config::sample_prompt>, "", kBuilt,
     "a text whose greedy completion is printed after each evaluation and at the end"},
    {"num_vocab_tiling", bind<&Config::num_vocab_tiling>, "1", kBuilt,
     "blocks of tokens in which a device makes the logits of the loss; 1 = as few as keep a block within 256 MB",
     kSize},
    {"use_tunix_gradient_accumulation", bind<&Config::use_tunix_gradient_accumulation>, "false", kBuilt,
     "true averages micro-batches instead of tokens: not built for gradient_accumulation_steps above 1, the same at 1"},
    {"vocab_tiling_ag_once", kBool, "false", kIgnored, kTiling},
    {"enable_dropout", kBool, "true", kIgnored, kDropoutSwitch},
    {"dropout_rate", kFloat, "0.0", kRefused, kDropout},
    {"skip_step_on_spikes", kBool, "false", kRefused, kSpikes},
    {"skip_step_interval", kInt, "128", kRefused, kSpikes},
    {"skip_step_scaling_factor", kFloat, "6.0", kRefused, kSpikes},
    {"block_diffusion_mask_id", kInt, "-1", kRefused, kDiffusion},
    {"block_diffusion_min_noise", kFloat, "0.001", kRefused, kDiffusion},
    {"block_diffusion_logit_alignment", kString, "same_position", kRefused, kDiffusion},
    {"block_diffusion_canvas_policy", kString, "all_masked", kRefused, kDiffusion},
    {"training_objective", kString, "causal_lm", kRefused, kDiffusion},
    {"muon_beta", kFloat, "0.95", kRefused, kMuon},
    {"muon_weight_decay", kFloat, "0.0", kRefused, kMuon},
    {"muon_consistent_rms", kOptFloat, "null", kRefused, kMuon},
    {"muon_type", kString, "optax_muon", kRefused, kMuon},
    {"muon_include_routers", kBool, "true", kRefused, kMuon},
    {"muon_use_all_to_all", kBool, "false", kRefused, kMuon},
    {"enable_rampup_batch_size", kBool, "false", kRefused, kRampup},
    {"per_device_batch_size_start", kFloat, "4.0", kRefused, kRampup},
    {"per_device_batch_size_increment", kFloat, "2.0", kRefused, kRampup},
    {"global_rampup_samples", kInt, "500", kRefused, kRampup},
    {"optimizer_memory_host_offload", kBool, "false", kRefused, kOffload},
    {"parameter_memory_host_offload", kBool, "false", kRefused, kOffload},
};

}  // namespace

KeyGroup train_keys() { return {"Training: numbers, loop, optimizer, evaluation", kRows}; }

}  // namespace fathom
