// The main job: batches in, state moved through the train step, metrics out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "config/mesh.h"
#include "data/streams.h"
#include "metrics/metrics_writer.h"
#include "metrics/progress.h"
#include "session/state_io.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct TrainOutcome {
  int64_t steps = 0;  // completed
  int signal = 0;     // the signal that stopped it, or 0
  float last_loss = 0;
};

class Trainer {
 public:
  // Opens the data, stages and compiles the programs, makes the state; everything that can be wrong with the input is
  // found here, before the first step and in the order of cost.
  explicit Trainer(const Config& config);
  ~Trainer();

  // Steps until `steps`, the end of the data, the target of the evaluation or a signal. Throws RuntimeFault when the
  // loss is not finite, naming the step and the arrays that are not. Each of `pauses` is called before its step, when
  // the device is idle.
  TrainOutcome run(const std::map<int64_t, std::function<void()>>& pauses = {});

  const Session& session() const { return session_; }
  const StateLayout& layout() const { return layout_; }
  const Compiled& step_program() const { return *step_; }
  // Null for synthetic data.
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  std::vector<ShardedArray>& parameters() { return state_.parameters; }

 private:
  // A step that the device may still be working on.
  struct Pending;

  // Opens the streams and reads the first batch of each: data that is broken or too little shows before the
  // compilation.
  void open_data();
  // Nothing when the data has ended.
  std::optional<Batch> next_batch();
  void write_run_folder();
  Pending launch(int64_t step, const Batch& batch);
  // Waits for the step, then prints, writes and checks its metrics.
  void finish(Pending& pending);
  [[noreturn]] void fail_not_finite(const StepMetrics& metrics, const HostArray& gradient_squares) const;
  // The finished step's metrics go to the files, if this process writes them.
  void write_held(const EvalMetrics* evaluation = nullptr);
  // Whether the target loss is reached.
  bool evaluate(int64_t step);
  // For a program whose signature has the batch arguments last.
  std::vector<ShardedArray> upload_batch(const Batch& batch, const Compiled& program) const;

  Config config_;
  Session session_;
  StateLayout layout_;
  BatchSizes sizes_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<BatchStream> train_data_, eval_data_;
  std::optional<Batch> first_batch_;  // until it is used; with reuse_example_batch always
  std::optional<Compiled> step_, eval_;
  TrainState state_;
  std::unique_ptr<MetricsWriter> writer_;  // of process 0
  std::optional<ProgressBar> bar_;
  double tflop_per_device_ = 0;           // of a step
  double tokens_per_device_ = 0;          // of a step
  std::vector<float> parameter_squares_;  // after the last finished step
  std::optional<StepMetrics> held_;       // finished, not written yet: an evaluation joins it
  TrainOutcome outcome_;
};

// Token ids to a TextEncoder for the data streams.
TextEncoder text_encoder(std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace fathom
