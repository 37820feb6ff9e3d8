// The metrics of a run, as files: <folder>/metrics.jsonl, <folder>/expert_load.jsonl and <folder>/tensorboard/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "metrics/record_file.h"
#include "metrics/step_log.h"
#include "metrics/tensorboard.h"

namespace fathom {

struct MetricsWriterOptions {
  std::string folder;  // of the run; made if need be
  std::string copy;    // a second file for the records of metrics.jsonl; empty for none
  // What errors call the folder and the second file, where those are copies of others.
  std::string shown_folder = {}, shown_copy = {};
  int64_t first_step = 0;  // records of this and later steps that an earlier run left are dropped
  bool overwrite = false;  // all of them may be dropped
  bool own = false;        // what is there is this run's own: go_on() says what of it stays
  bool tensorboard = true;
  int64_t tensorboard_flush_steps = 100;
  int64_t load_steps = 100;            // between records of the experts' loads
  std::function<void()> flushed = {};  // called after every flush; may be empty
};

// Not thread-safe. All functions throw RuntimeFault naming the file when it cannot be written.
class MetricsWriter {
 public:
  // Opens and locks the files of records; the first record alone touches what an earlier run left. Throws as RecordFile
  // does.
  explicit MetricsWriter(const MetricsWriterOptions& options);

  // Before the first record: those of this and later steps are dropped, those before stay, and TensorBoard's likewise.
  void go_on(int64_t first_step);

  // One line {"step": 1, "learning/loss": 5.5, ...}, in the file when the call returns; an evaluation after the step
  // goes into the same object. See json_number for values that are not finite. The experts' loads of every
  // load_steps-th step go to expert_load.jsonl, and to TensorBoard as a histogram a layer.
  void write(const StepMetrics& metrics, const EvalMetrics* eval = nullptr);
  // A text for TensorBoard alone: the number of parameters, the configuration.
  void write_text(std::string_view tag, std::string_view text);
  // Called every tensorboard_flush_steps steps and after an evaluation, too.
  void flush();

 private:
  TensorBoardWriter& tensorboard();
  void write_load(int64_t step, const ExpertLoad& load);

  MetricsWriterOptions options_;
  RecordFile records_, loads_;
  std::optional<RecordFile> copy_;
  int64_t unflushed_steps_ = 0;
  std::unique_ptr<TensorBoardWriter> tensorboard_;  // opened when there is something to write
};

}  // namespace fathom
