#include "drive/train_loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/stop_signals.h"
#include "drive/example.h"
#include "drive/memory_check.h"
#include "drive/summary.h"
#include "session/state_load.h"

namespace fathom {
namespace {

// Seconds. Completions are told by threads of the plugin, which may come late: two may seem to be one.
constexpr double kShortestStep = 1e-6;

// See StepMetrics.
std::optional<double> device_memory_gb(const Client& client) {
  std::optional<int64_t> most;
  for (const Device* device : client.addressable_devices()) most = std::max(most, client.peak_memory(*device));
  if (!most) return std::nullopt;
  return static_cast<double>(*most) * 1e-9;
}

}  // namespace

Trainer::Trainer(const Config& config, const TrainerOptions& options)
    : config_(config),
      session_(config),
      spec_(state_spec(config, session_.mesh().mesh)),
      sizes_(resolve_batch(config, session_.mesh().devices())),
      stop_(session_.client()->process_count() == 1 && !options.exchange, options.exchange),
      writes_(options.writes) {
  check_batch_split(config_, session_.mesh());
  check_length_split(config_, session_.mesh());
  require_state_memory(config_, spec_, session_);
  require_batch_memory(config_, sizes_, session_);
  const bool saves = config_.enable_checkpointing && options.writes;
  const bool goes_on = options.writes && may_go_on(config_);
  if (session_.writes() && options.writes) folder_.emplace(config_, goes_on);
  if (saves) {
    checkpoints_.emplace(config_, spec_,
                         StepShare{session_.client()->process_index(), session_.client()->process_count()});
    find_start();
    if (first_step_ >= config_.steps) return;
    checkpoints_->require_space();
  }
  auto share = [&](int64_t rows) {
    return row_share(*session_.assignment(), batch_argument(spec_, {rows, config_.max_target_length}));
  };
  share_ = share(sizes_.to_train);
  const RowShare eval_share = share(sizes_.eval);
  data_ = open_training_data(config_, share_, eval_share);
  if (options.show_example && session_.writes()) show_example();
  const bool samples = !config_.sample_prompt.empty();
  if (samples) sample_prompt_ids(config_, data_.tokenizer.get());  // a mistake is found before the work
  SummaryFacts facts{.parameters = count_params(spec_.model, spec_.table).parameters, .device = session_.description()};
  log_info("{}", summarize(config_, session_.mesh(), facts));
  // Weights that do not fit are found before the long compilation.
  make_start();
  if (first_step_ >= config_.steps) return;
  if (checkpoints_) checkpoints_->reserve(state_);
  // A wish to stop that is given into a step is followed after the next one.
  const size_t ahead = stop_.alone() ? 0 : 2;
  feed_.emplace(*data_.train, config_.reuse_example_batch > 0, ahead);
  step_ = session_.compile(
      [&] {
        return train_step(config_, spec_, {sizes_.to_train, config_.max_target_length});
      },
      config_.compiled_trainstep_file);
  require_work_space(config_, step_->executable.program().memory_stats(), session_.mesh().devices());
  if (data_.eval) evaluation_.emplace(session_, config_, spec_, *data_.eval, eval_share);
  if (samples) sample_.emplace(session_, config_, spec_, data_.tokenizer);
  begin(facts.parameters);
}

void Trainer::begin(int64_t parameters) try {
  if (folder_) folder_->begin(parameters, first_step_);
  if (checkpoints_) checkpoints_->begin();
} catch (const std::exception& e) {
  log_end(e);
  throw;
}

void Trainer::log_end(const std::exception& error) {
  if (!writes_ || std::exchange(end_logged_, true)) return;
  fathom::log_end(config_, session_.client()->process_index(), error);
}

void Trainer::show_example() {
  const std::optional<Batch> batch = data_.train->next();
  if (batch) print_example(*batch, data_.tokenizer.get());
  data_.train->restore({});
}

void Trainer::find_start() {
  const std::optional<int64_t> done = checkpoints_->steps_done();
  if (!done) return;
  first_step_ = *done;
  for (const auto& [key, path] : {std::pair("load_parameters_path", &config_.load_parameters_path),
                                  std::pair("load_full_state_path", &config_.load_full_state_path)}) {
    if (!path->empty()) log_info("{} is not read: the run has a checkpoint of its own", key);
  }
}

void Trainer::make_start() {
  if (checkpoints_ && checkpoints_->any()) {
    SavedRun saved = checkpoints_->load(session_);
    first_step_ = saved.step;
    state_ = std::move(saved.state);
    if (saved.data) {
      data_.train->restore(*saved.data);
    } else {
      log_warning("{} does not say where the data stood: it is read from its beginning", saved.folder);
    }
    log_info("going on after step {}, from {}", first_step_ - 1, saved.folder);
    return;
  }
  if (config_.load_full_state_path.empty()) {
    state_ = make_state(session_, config_, spec_);
    return;
  }
  if (!OrbaxFolder::is_checkpoint(config_.load_full_state_path)) {
    throw ConfigError(fmt::format(
        "load_full_state_path={}: no training state; give a run's checkpoints/N, or the folder `items` in it "
        "(load_parameters_path takes weights alone)",
        config_.load_full_state_path));
  }
  const StateFolder folder(OrbaxFolder::open(config_.load_full_state_path), config_, spec_);
  state_ = load_state(session_, config_, spec_, folder);
  first_step_ = folder.step();
  log_info("{}: begins with step {}; the data is read from its beginning", folder.path(), first_step_);
}

Trainer::~Trainer() = default;

LaunchedStep Trainer::launch(int64_t step, const Batch& batch) {
  const Signature& signature = step_->signature;
  NamedArrays inputs = upload_batch(session_.assignment(), signature, batch, share_);
  inputs.emplace("stop", upload_for_devices(session_.assignment(), argument(signature, "stop"), stop_.into_step(step)));
  // The next step is awaited from the moment the device is done with this one, whenever that is looked at here.
  auto on_done = [step, watch = std::weak_ptr(watch_)](Clock::time_point now) {
    if (auto alive = watch.lock()) alive->expect(step + 1, now);
  };
  return {step, signature, run_on(session_, *step_, state_, inputs), on_done};
}

void Trainer::settle() {
  if (!under_way_) return;
  const int64_t step = under_way_->step();
  StepReport report = under_way_->wait();
  under_way_.reset();
  const double tokens =
      static_cast<double>(sizes_.to_train * config_.max_target_length) / static_cast<double>(session_.mesh().devices());
  StepMetrics m{
      .step = step,
      .seconds = std::max(seconds_between(last_done_, report.done), kShortestStep),
      .tflop_per_device = train_flops_per_token(spec_.model, config_.max_target_length).total() * tokens * 1e-12,
      .tokens_per_device = tokens,
      .total_weights = report.targets,
      .values = report.scalars,
      .load = {spec_.model.dense_layers, spec_.model.experts, std::move(report.expert_load)},
      .device_memory_gb = device_memory_gb(*session_.client())};
  last_done_ = std::max(last_done_, report.done);
  watch_->ended(m.seconds);
  if (m.total_weights == 0) log_once(LogLevel::kWarning, "a batch had no target that counts: its step learned nothing");
  write_held();
  held_ = m;
  const float loss = m.value("loss");
  if (session_.writes()) bar_->print(format_step_line(m));
  bar_->update(step + 1, static_cast<double>(loss), m.tokens_per_second());
  if (std::isnan(loss) ? config_.abort_on_nan_loss : std::isinf(loss) && config_.abort_on_inf_loss) {
    write_held();
    if (folder_) folder_->metrics().flush();
    fail_not_finite(step, report, parameter_squares_);
  }
  parameter_squares_ = std::move(report.parameter_squares);
  stop_.out_of_step(report.stop);
  outcome_.steps = step + 1;
  outcome_.last_loss = loss;
}

void Trainer::write_held(const EvalMetrics* evaluation) {
  if (held_ && folder_) folder_->metrics().write(*held_, evaluation);
  held_.reset();
}

void Trainer::restart_clock(int64_t step) {
  last_done_ = Clock::now();
  if (watch_) watch_->expect(step, last_done_);
}

bool Trainer::evaluate(int64_t step) {
  settle();
  watch_->pause();
  EvalMetrics m = evaluation_->run(state_);
  if (session_.writes()) bar_->print(format_eval_line(step, m));
  write_held(&m);
  show_sample(step);
  restart_clock(step + 1);
  if (!evaluation_->reached(m)) return false;
  log_info("target_eval_loss is reached after step {}", step);
  return true;
}

void Trainer::show_sample(int64_t step) {
  if (!sample_ || sample_->last() == step) return;
  const std::string line = sample_->line(state_, step);
  if (session_.writes()) bar_->print(line);
}

void Trainer::save(int64_t step) {
  settle();
  std::vector<std::string> broken;
  for (const auto& [array, squares] : parameter_squares_) {
    if (!std::isfinite(squares)) broken.push_back(array);
  }
  if (!broken.empty()) {
    const std::string text =
        fmt::format("step {}: not saved, for parameters are not finite after it: {}", step, listed(broken, 4));
    if (config_.abort_on_nan_loss) throw RuntimeFault(text);
    return log_warning("{}", text);
  }
  // What the files of metrics say reaches as far as the checkpoint, whenever the process is killed.
  write_held();
  if (folder_) folder_->write_through();
  if (watch_) watch_->pause();
  checkpoints_->save(step, state_, feed_->state());
  restart_clock(step + 1);
}

void Trainer::save_end(bool stopped) {
  const int64_t last = outcome_.steps - 1;
  const bool wanted = stopped || config_.save_checkpoint_on_completion;
  if (wanted && last >= first_step_ && checkpoints_->last() != last) save(last);
  checkpoints_->wait();
  checkpoints_->end();
}

TrainOutcome Trainer::run(const std::map<int64_t, std::function<void()>>& pauses) {
  try {
    return run_steps(pauses);
  } catch (const std::exception& e) {
    watch_.reset();
    log_end(e);
    throw;
  }
}

TrainOutcome Trainer::run_steps(const std::map<int64_t, std::function<void()>>& pauses) {
  outcome_.steps = first_step_;
  if (first_step_ >= config_.steps) {
    log_info("the run has done {} of steps={}: nothing is left to do; a larger steps goes on", first_step_,
             config_.steps);
    return outcome_;
  }
  StopWish signals;
  bar_.emplace(first_step_, config_.steps);
  watch_ = std::make_shared<StepWatch>();
  last_done_ = Clock::now();
  for (int64_t step = first_step_; step < config_.steps; ++step) {
    stop_.wish(StopAgreement::of_signal(signals.signal()));
    if (stop_.leaves() != 0) break;
    if (checkpoints_ && checkpoints_->written()) {
      settle();  // if the write failed the run ends after the step under way
      write_held();
      checkpoints_->wait();
    }
    if (auto pause = pauses.find(step); pause != pauses.end()) {
      settle();
      watch_->pause();
      pause->second();
      restart_clock(step);
    }
    std::optional<Batch> batch = feed_->next();
    if (!batch) {
      stop_.wish(StopAgreement::kDataEnded);
      if (stop_.leaves() != 0) break;
      // The others do not know yet: this process takes part in their steps without a target of its own.
      batch = Batch::padding(share_.rows, config_.max_target_length);
    }
    // Said in time, so that no step is made of padding.
    if (feed_->near_end()) stop_.wish(StopAgreement::kDataEnded);
    if (step == first_step_) last_done_ = Clock::now();
    LaunchedStep launched = launch(step, *batch);
    settle();
    under_way_ = std::move(launched);
    if (evaluation_ && evaluation_->due(step) && evaluate(step)) break;
    if (checkpoints_ && checkpoints_->due(step)) save(step);
  }
  settle();
  watch_.reset();
  write_held();
  if (folder_) folder_->write_through();
  const int32_t why = stop_.leaves();
  const bool stopped = StopAgreement::signal_of(why) != 0;
  if (checkpoints_) save_end(stopped);
  if (!stopped && outcome_.steps > first_step_) show_sample(outcome_.steps - 1);
  bar_.reset();
  if (why == StopAgreement::kDataEnded) log_info("{}", data_.train->end_message());
  outcome_.signal = StopAgreement::signal_of(why);
  if (outcome_.signal != 0) log_info("stopped by signal {} after step {}", outcome_.signal, outcome_.steps - 1);
  return outcome_;
}

}  // namespace fathom
