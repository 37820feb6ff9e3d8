// The folder of a run: config.yml, metrics.jsonl, tensorboard/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/stop_signals.h"
#include "config/config.h"
#include "metrics/metrics_writer.h"

namespace fathom {

// One process at a time has a run's folder. Nothing of an earlier run is touched before the first step is done, and a
// run that ends before it leaves no trace.
class RunFolder {
 public:
  // Makes the folder and locks its metrics. Throws ConfigError when the folder or metrics_file cannot be written, when
  // another process has it, or when it holds the metrics of another run and the configuration does not say overwrite.
  explicit RunFolder(const Config& config);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Writes config.yml and opens the files of metrics.
  void begin(int64_t parameters);
  MetricsWriter& metrics() { return *metrics_; }

 private:
  // Makes the folders that are missing on the way to the run's.
  void make_folders();

  const Config& config_;
  std::vector<std::string> made_;  // folders, the outer ones first
  std::vector<std::unique_ptr<RemovedOnStop>> on_stop_;
  std::unique_ptr<MetricsWriter> metrics_;
  bool begun_ = false;
};

}  // namespace fathom
