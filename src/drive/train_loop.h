// The main job: batches in, state moved through the train step, metrics out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "drive/checkpoints.h"
#include "drive/evaluation.h"
#include "drive/run_folder.h"
#include "drive/sample.h"
#include "drive/step_report.h"
#include "drive/step_watch.h"
#include "drive/stop_agreement.h"
#include "drive/training_data.h"
#include "mesh/batch_sizes.h"
#include "metrics/progress.h"
#include "session/state_io.h"

namespace fathom {

struct TrainOutcome {
  int64_t steps = 0;  // completed, those before this start of the run included
  int signal = 0;     // the signal that stopped it, here or in another process, or 0
  float last_loss = 0;
};

struct TrainerOptions {
  bool writes = true;          // the run's folder; without it the metrics are only printed and nothing is saved
  WishExchange exchange = {};  // see StopAgreement
  bool show_example = false;   // prints the first row that is trained on
};

class Trainer {
 public:
  // Opens the data, makes the state or goes on from the run's newest checkpoint, stages and compiles the programs;
  // everything that can be wrong with the input is found here, before the first step and in the order of cost.
  explicit Trainer(const Config& config, const TrainerOptions& options = {});
  ~Trainer();

  // Steps until `steps`, the end of the data, the target of the evaluation or a signal, and saves. Throws RuntimeFault
  // when the loss is not finite, naming the step and the arrays that are not. Each of `pauses` is called before its
  // step, when the device is idle.
  TrainOutcome run(const std::map<int64_t, std::function<void()>>& pauses = {});
  // What ends the run, and is reported later, is put into its log; the first call counts. `run` calls it.
  void log_end(const std::exception& error);

  // The first step that is to be done; `steps` or more when nothing is left of the run, and nothing was compiled.
  int64_t first_step() const { return first_step_; }
  const Session& session() const { return session_; }
  const StateSpec& spec() const { return spec_; }
  const Compiled& step_program() const { return *step_; }
  // Null for synthetic data.
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return data_.tokenizer; }
  State& state() { return state_; }

 private:
  TrainOutcome run_steps(const std::map<int64_t, std::function<void()>>& pauses);
  // The first step can be done: what the run writes begins.
  void begin(int64_t parameters);
  // Prints the first row of the data.
  void show_example();
  // What the run goes on from.
  void find_start();
  void make_start();
  LaunchedStep launch(int64_t step, const Batch& batch);
  // Waits for the step under way, if there is one; prints, writes and checks its metrics.
  void settle();
  // The finished step's metrics go to the files, if this process writes them.
  void write_held(const EvalMetrics* evaluation = nullptr);
  // Whether the run ends with it.
  bool evaluate(int64_t step);
  // Prints a completion with the state after the step, when there is a prompt and it is not printed yet.
  void show_sample(int64_t step);
  // Saves the state after a step, which is the last that was launched.
  void save(int64_t step);
  // Between steps something else was done: the clock of `step`, the next one, starts now.
  void restart_clock(int64_t step);
  // The last save, when one is due.
  void save_end(bool stopped);

  Config config_;
  Session session_;
  StateSpec spec_;
  BatchSizes sizes_;
  RowShare share_;  // of the training rows
  TrainingData data_;
  std::optional<BatchFeed> feed_;
  State state_;
  std::optional<Compiled> step_;
  std::optional<Evaluation> evaluation_;
  std::optional<PromptSample> sample_;
  StopAgreement stop_;
  std::optional<RunFolder> folder_;  // of process 0
  std::optional<Checkpoints> checkpoints_;
  int64_t first_step_ = 0;
  std::optional<ProgressBar> bar_;
  std::optional<LaunchedStep> under_way_;
  std::shared_ptr<StepWatch> watch_;  // while there are steps
  Clock::time_point last_done_;       // completion of the step before, or the launch of the first
  ArraySquares parameter_squares_;    // after the last finished step
  std::optional<StepMetrics> held_;   // finished, not written yet: an evaluation joins it
  TrainOutcome outcome_;
  const bool writes_;
  bool end_logged_ = false;
};

}  // namespace fathom
