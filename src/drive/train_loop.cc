#include "drive/train_loop.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <future>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/hub.h"
#include "config/resolve/resolve.h"
#include "config/resolve/summary.h"
#include "data/config_options.h"
#include "data/prefetch.h"
#include "drive/signals.h"
#include "graph/partition.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

// Names that an error lists before it says "and N more".
constexpr size_t kListed = 8;

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kListed); ++i) out += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kListed) out += fmt::format(" and {} more", names.size() - kListed);
  return out;
}

// Throws ConfigError unless the file or folder `path` can be made; nothing is made yet.
void require_writable(std::string_view key, const std::string& path) {
  namespace fs = std::filesystem;
  if (is_remote(path)) throw ConfigError(fmt::format("{}: {}: runs are written to local folders", key, path));
  fs::path place = fs::absolute(path);
  std::error_code none;
  while (!fs::exists(place, none) && place.has_relative_path()) place = place.parent_path();
  if (place != fs::absolute(path) && !fs::is_directory(place, none)) {
    throw ConfigError(fmt::format("{}: {} is a file, so {} cannot be made", key, place.string(), path));
  }
  if (::access(place.c_str(), W_OK) != 0) {
    throw ConfigError(fmt::format("{}: {}: {} cannot be written: {}", key, path, place.string(), std::strerror(errno)));
  }
}

// The sign of a NaN means nothing and would be printed.
float without_sign(float x) { return std::isnan(x) ? std::numeric_limits<float>::quiet_NaN() : x; }

// Bytes of parameters and moments: of a device's part of them, or of the whole where `mesh` is null.
double state_bytes(const Config& config, const StateLayout& layout, const Mesh* mesh) {
  auto elements = [&](size_t i) {
    const Shape& shape = layout.arrays[i].type.shape;
    return static_cast<double>((mesh == nullptr ? shape : local_shape(shape, layout.shardings[i], *mesh)).elements());
  };
  auto width = [&](size_t i) { return static_cast<double>(byte_size(layout.arrays[i].type.dtype)); };
  double bytes = 0;
  for (size_t i = 0; i < layout.arrays.size(); ++i) bytes += elements(i) * width(i);
  for (size_t i : layout.trained) bytes += elements(i) * (width(i) + static_cast<double>(byte_size(config.mu_dtype)));
  return bytes;
}

double machine_memory() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

// The state must fit, on the CPU into the machine's memory, which its devices share, otherwise into each device's; said
// before anything is compiled.
void require_memory(const Config& config, const StateLayout& layout, const Session& session) {
  if (config.hardware == Hardware::kCpu) {
    double bytes = state_bytes(config, layout, nullptr);
    double memory = machine_memory();
    if (bytes <= memory) return;
    throw ConfigError(
        fmt::format("model_name={}: parameters and optimizer state take {:.1f} GB, this machine has {:.1f} GB; take a "
                    "smaller model, or weight_dtype=bfloat16",
                    config.model_name, bytes * 1e-9, memory * 1e-9));
  }
  double bytes = state_bytes(config, layout, &session.mesh().mesh);
  std::optional<int64_t> limit = session.client()->memory_limit(*session.client()->addressable_devices().front());
  if (!limit || bytes <= static_cast<double>(*limit)) return;
  throw ConfigError(fmt::format(
      "model_name={}: parameters and optimizer state take {:.1f} GB of each device, which has {:.1f} GB for "
      "this process; take a smaller model, weight_dtype=bfloat16, or more devices (ici_fsdp_parallelism)"
      "{}",
      config.model_name, bytes * 1e-9, static_cast<double>(*limit) * 1e-9,
      config.hardware == Hardware::kGpu ? "; XLA_PYTHON_CLIENT_MEM_FRACTION sets the part of a GPU that is taken"
                                        : ""));
}

// A step of all devices must fit into the machine's memory too, or the kernel ends the process without a word. Other
// hardware says so itself.
void require_work_space(const Config& config, const MemoryStats& step, int64_t devices) {
  if (config.hardware != Hardware::kCpu) return;
  double state = static_cast<double>(step.argument + step.output - step.alias) * static_cast<double>(devices);
  double work = static_cast<double>(step.temp) * static_cast<double>(devices);
  if (state + work <= machine_memory()) return;
  throw ConfigError(fmt::format(
      "per_device_batch_size={} max_target_length={}: a step takes {:.1f} GB beside {:.1f} GB of state and batch, this "
      "machine has {:.1f} GB; take fewer or shorter rows{}",
      config.per_device_batch_size, config.max_target_length, work * 1e-9, state * 1e-9, machine_memory() * 1e-9,
      config.remat ? "" : ", or remat_policy=full"));
}

}  // namespace

struct Trainer::Pending {
  int64_t step = 0;
  HostCopy scalars, tokens, gradient_squares, parameter_squares;
  // When the device was done: set by the runtime, so that a busy host does not blur it.
  std::shared_ptr<std::promise<Clock::time_point>> done = std::make_shared<std::promise<Clock::time_point>>();
  Clock::time_point before;  // completion of the step before, or the launch of the first
};

TextEncoder text_encoder(std::shared_ptr<const Tokenizer> t) {
  return {.encode = [t](std::string_view text) { return t->encode(text); },
          .bos_id = t->bos_id(),
          .eos_id = t->eos_id(),
          .pad_id = t->pad_id()};
}

Trainer::Trainer(const Config& config)
    : config_(config),
      session_(config),
      layout_(state_layout(config, session_.mesh().mesh)),
      sizes_(resolve_batch(config, session_.mesh().devices())) {
  check_batch_split(config_, session_.mesh());
  require_memory(config_, layout_, session_);
  require_writable("base_output_directory", config_.run_directory + "/metrics.jsonl");
  if (!config_.metrics_file.empty()) require_writable("metrics_file", config_.metrics_file);
  open_data();
  int64_t length = config_.max_target_length;
  ParamCount count = count_params(layout_.model, layout_.table);
  tokens_per_device_ = static_cast<double>(sizes_.to_train * length) / static_cast<double>(session_.mesh().devices());
  tflop_per_device_ = train_flops_per_token(layout_.model, length).total() * tokens_per_device_ * 1e-12;
  SummaryFacts facts{.parameters = count.parameters, .device = session_.description()};
  log_info("{}", summarize(config_, session_.mesh(), facts));
  // Weights that do not fit are found before the long compilation.
  state_ = make_state(session_, config_, layout_);
  step_ = session_.compile(
      [&] {
        return train_step(config_, layout_, {sizes_.to_train, length});
      },
      config_.compiled_trainstep_file);
  require_work_space(config_, step_->executable.program().memory_stats(), session_.mesh().devices());
  if (eval_data_) eval_ = session_.compile([&] { return eval_step(config_, layout_, {sizes_.eval, length}); });
  write_run_folder();
}

Trainer::~Trainer() = default;

void Trainer::open_data() {
  TextEncoder encoder;
  if (config_.dataset_type != DatasetType::kSynthetic) {
    tokenizer_ = Tokenizer::load(config_.tokenizer_path);
    if (tokenizer_->vocab_size() > config_.vocab_size) {
      throw ConfigError(
          fmt::format("tokenizer_path: {} has {} tokens, but vocab_size is {}; give the model's own tokenizer",
                      config_.tokenizer_path, tokenizer_->vocab_size(), config_.vocab_size));
    }
    encoder = text_encoder(tokenizer_);
  }
  train_data_ =
      std::make_unique<Prefetcher>(open_batches(train_data_options(config_, {.rows = sizes_.to_train}), encoder));
  if (config_.eval_interval > 0) {
    eval_data_ = open_batches(eval_data_options(config_, {.rows = sizes_.eval}), encoder);
    if (!eval_data_->next())
      throw ConfigError(fmt::format("eval_steps={}: an evaluation needs a batch", config_.eval_steps));
  }
  first_batch_ = train_data_->next();
}

std::optional<Batch> Trainer::next_batch() {
  if (config_.reuse_example_batch > 0) return first_batch_;
  if (first_batch_) return std::exchange(first_batch_, std::nullopt);
  return train_data_->next();
}

void Trainer::write_run_folder() {
  if (!session_.writes()) return;
  write_file_atomically(config_.run_directory + "/config.yml", to_yaml(config_));
  writer_ = std::make_unique<MetricsWriter>(MetricsWriterOptions{.folder = config_.run_directory,
                                                                 .copy = config_.metrics_file,
                                                                 .first_step = 0,
                                                                 .tensorboard = config_.enable_tensorboard,
                                                                 .tensorboard_flush_steps = config_.log_period});
  writer_->write_text("num_model_parameters", std::to_string(count_params(layout_.model, layout_.table).parameters));
}

std::vector<ShardedArray> Trainer::upload_batch(const Batch& batch, const Compiled& program) const {
  std::vector<ShardedArray> out;
  const Sharding& rows = program.signature.args.back().sharding;
  for (const HostArray* a : {&batch.inputs, &batch.inputs_position, &batch.inputs_segmentation, &batch.targets,
                             &batch.targets_segmentation}) {
    out.push_back(session_.upload(*a, rows, HostMemory::kZeroCopy));
  }
  return out;
}

Trainer::Pending Trainer::launch(int64_t step, const Batch& batch) {
  std::vector<ShardedArray> inputs = upload_batch(batch, *step_);
  std::vector<ShardedArray*> arguments = state_.arguments();
  for (ShardedArray& b : inputs) arguments.push_back(&b);
  std::vector<ShardedArray> out = session_.run(*step_, arguments).results;
  size_t next = 0;
  for (size_t i : layout_.trained) state_.parameters[i] = std::move(out[next++]);
  for (ShardedArray& b : state_.mu) b = std::move(out[next++]);
  for (ShardedArray& b : state_.nu) b = std::move(out[next++]);
  state_.step = std::move(out[next++]);
  Pending pending{.step = step};
  HostCopy* copies[] = {&pending.scalars, &pending.tokens, &pending.gradient_squares, &pending.parameter_squares};
  for (HostCopy* copy : copies) *copy = out[next++].first_shard_async();
  pending.scalars.done.on_ready([done = pending.done](const auto&) { done->set_value(Clock::now()); });
  return pending;
}

void Trainer::finish(Pending& pending) {
  for (HostCopy* copy : {&pending.scalars, &pending.tokens, &pending.gradient_squares, &pending.parameter_squares}) {
    copy->done.await();
  }
  Clock::time_point done = pending.done->get_future().get();
  std::vector<float> s;
  for (float x : pending.scalars.array.view<float>()) s.push_back(without_sign(x));
  double norm = 0;
  auto squares = pending.parameter_squares.array.view<float>();
  for (float x : squares) norm += static_cast<double>(x);
  StepMetrics m{.step = pending.step,
                .seconds = seconds_between(pending.before, done),
                .tflop_per_device = tflop_per_device_,
                .tokens_per_device = tokens_per_device_,
                .total_weights = pending.tokens.array.view<int32_t>()[0],
                .loss = s[kLoss],
                .lm_loss = s[kLmLoss],
                .z_loss = s[kZLoss],
                .raw_grad_norm = s[kRawGradNorm],
                .grad_norm = s[kGradNorm],
                .param_norm = static_cast<float>(std::sqrt(norm)),
                .learning_rate = s[kLearningRate]};
  if (layout_.model.experts > 1) m.moe_lb_loss = s[kBalanceLoss];
  pending.before = done;
  write_held();
  held_ = m;
  if (session_.writes()) bar_->print(format_step_line(m));
  bar_->update(m.step + 1, static_cast<double>(m.loss), m.tokens_per_second());
  bool stop = std::isnan(m.loss) ? config_.abort_on_nan_loss : std::isinf(m.loss) && config_.abort_on_inf_loss;
  if (stop) fail_not_finite(m, pending.gradient_squares.array);
  parameter_squares_.assign(squares.begin(), squares.end());
  outcome_.steps = m.step + 1;
  outcome_.last_loss = m.loss;
}

void Trainer::fail_not_finite(const StepMetrics& metrics, const HostArray& gradient_squares) const {
  if (writer_) {
    writer_->write(metrics);
    writer_->flush();
  }
  auto names = [&](std::span<const float> squares) {
    std::vector<std::string> out;
    for (size_t i = 0; i < squares.size(); ++i) {
      if (!std::isfinite(squares[i])) out.push_back(layout_.arrays[layout_.trained[i]].name);
    }
    return out;
  };
  std::vector<std::string> parameters = names(parameter_squares_);
  std::vector<std::string> gradients = names(gradient_squares.view<float>());
  std::string what =
      "all parameters were finite before this step, but no gradient is named: the forward pass overflowed";
  if (!parameters.empty()) {
    what = "parameters that were not finite, or too large to square, before this step: " + listed(parameters);
  } else if (!gradients.empty()) {
    what = "all parameters were finite before this step; gradients that are not: " + listed(gradients);
  }
  throw RuntimeFault(
      fmt::format("step {}: the loss is {}; {}. Lower learning_rate, or check the data and the weights loaded "
                  "(abort_on_nan_loss=false goes on)",
                  metrics.step, metrics.loss, what));
}

void Trainer::write_held(const EvalMetrics* evaluation) {
  if (held_ && writer_) writer_->write(*held_, evaluation);
  held_.reset();
}

bool Trainer::evaluate(int64_t step) {
  Clock::time_point start = Clock::now();
  eval_data_->restore({});
  EvalMetrics m;
  double balance = 0;
  while (std::optional<Batch> batch = eval_data_->next()) {
    std::vector<ShardedArray> inputs = upload_batch(*batch, *eval_);
    std::vector<ShardedArray*> arguments;
    for (ShardedArray& b : state_.parameters) arguments.push_back(&b);
    for (ShardedArray& b : inputs) arguments.push_back(&b);
    HostArray sums = session_.run(*eval_, arguments).results[0].to_host();
    auto s = sums.view<float>();
    ++m.batches;
    m.total_loss += static_cast<double>(s[0]);
    m.total_weights += std::lround(s[1]);
    m.z_loss += static_cast<double>(s[2] / s[1]);
    balance += static_cast<double>(s[3]);
  }
  if (layout_.model.experts > 1) m.moe_lb_loss = balance;
  m.seconds = seconds_between(start, Clock::now());
  if (session_.writes()) bar_->print(format_eval_line(step, m));
  write_held(&m);
  return config_.target_eval_loss > 0 && m.average_loss() <= config_.target_eval_loss;
}

TrainOutcome Trainer::run(const std::map<int64_t, std::function<void()>>& pauses) {
  StopSignals signals;
  bar_.emplace(0, config_.steps);
  std::optional<Pending> pending;
  Clock::time_point last = Clock::now();
  auto settle = [&] {  // the step under way, if there is one
    if (!pending) return;
    pending->before = last;
    finish(*pending);
    last = pending->before;
    pending.reset();
  };
  for (int64_t step = 0; step < config_.steps && signals.stop_requested() == 0; ++step) {
    if (auto pause = pauses.find(step); pause != pauses.end()) {
      settle();
      pause->second();
      last = Clock::now();
    }
    std::optional<Batch> batch = next_batch();
    if (!batch) {
      log_info("{}", train_data_->end_message());
      break;
    }
    if (step == 0) last = Clock::now();
    Pending launched = launch(step, *batch);
    settle();
    pending = std::move(launched);
    bool due = eval_data_ && step >= config_.eval_start_step && (step + 1) % config_.eval_interval == 0;
    if (!due) continue;
    settle();
    bool reached = evaluate(step);
    last = Clock::now();
    if (reached) {
      log_info("target_eval_loss is reached after step {}", step);
      break;
    }
  }
  settle();
  write_held();
  if (writer_) writer_->flush();
  bar_.reset();
  outcome_.signal = signals.stop_requested();
  return outcome_;
}

}  // namespace fathom
