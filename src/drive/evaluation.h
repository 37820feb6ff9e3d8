// Evaluations between the steps of a run.
#pragma once

#include "data/streams.h"
#include "metrics/step_log.h"
#include "session/batch_io.h"

namespace fathom {

class Evaluation {
 public:
  // Compiles eval_step. `data` gives the rows of `share`; session, configuration and data outlive the evaluation.
  Evaluation(const Session& session, const Config& config, const StateSpec& spec, BatchStream& data,
             const RowShare& share);

  // Whether one is due after this step.
  bool due(int64_t step) const;
  // Over all batches of the data. Waits for the device.
  EvalMetrics run(State& state);
  // Whether target_eval_loss is reached.
  bool reached(const EvalMetrics& metrics) const;

 private:
  const Session& session_;
  const Config& config_;
  BatchStream& data_;
  RowShare share_;
  Compiled program_;
};

}  // namespace fathom
