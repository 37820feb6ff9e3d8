// The folder of a run: config.yml, metrics.jsonl, expert_load.jsonl, tensorboard/, log.txt.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log_file.h"
#include "base/stop_signals.h"
#include "config/config.h"
#include "metrics/metrics_writer.h"
#include "storage/uploaded_folder.h"

namespace fathom {

// Folders that are made with a purpose; those that are still empty at the end, or when a signal ends the process, go.
class MadeFolders {
 public:
  // Makes `folder` and what is missing on the way to it. Throws ConfigError, which begins with `key`, when that fails.
  MadeFolders(std::string_view key, const std::string& folder);
  ~MadeFolders() { remove(); }
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;

 private:
  void remove();

  std::vector<std::string> made_;  // the outer ones first
  std::vector<std::unique_ptr<RemovedOnStop>> on_stop_;
};

// One process at a time has a run's folder, as far as it is local. Of one on gs:// or s3:// there is a local copy,
// which is uploaded every log_period steps, after an evaluation and at the end, whatever the end is. What an earlier
// run left there is touched by `begin` and by the first step's metrics alone; a run that ends before `begin` leaves no
// trace.
class RunFolder {
 public:
  // Makes the folder and locks its metrics; of a remote one, brings metrics.jsonl here. Throws ConfigError when the
  // folder or metrics_file cannot be written, when another process has it, or when it holds the metrics of another run
  // and the configuration does not say overwrite.
  // `goes_on`: they are this run's own.
  RunFolder(const Config& config, bool goes_on);

  // Writes config.yml and opens the files of metrics; what an earlier run wrote of `first_step` and later ones goes.
  // From here on log.txt holds what this process has logged and logs.
  void begin(int64_t parameters, int64_t first_step);
  MetricsWriter& metrics() { return *metrics_; }
  // All that has been written is in its place when this returns. Throws RuntimeFault when it cannot be brought there.
  void write_through();

 private:
  const Config& config_;
  const bool goes_on_;
  std::optional<UploadedFolder> run_copy_, metrics_copy_;  // of what is remote
  std::string folder_;                                     // local
  std::unique_ptr<MadeFolders> made_, made_for_copy_;
  std::unique_ptr<MetricsWriter> metrics_;  // goes first: what it leaves empty it removes
  std::optional<LogFile> log_;
};

// A run that has begun ends with an error, which the caller reports later: its text goes to the run's log. A process
// that has none, being another than the first, writes log.N.txt with its last lines.
void log_end(const Config& config, int process, const std::exception& error);

}  // namespace fathom
