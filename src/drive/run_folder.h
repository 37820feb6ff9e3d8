// The folder of a run: config.yml, metrics.jsonl, tensorboard/.
#pragma once

#include <memory>

#include "config/config.h"
#include "metrics/metrics_writer.h"

namespace fathom {

// Throws ConfigError when the folder or metrics_file cannot be written; nothing is made yet.
void require_writable_run(const Config& config);

// Writes config.yml and opens the metrics files.
std::unique_ptr<MetricsWriter> open_run_folder(const Config& config, int64_t parameters);

}  // namespace fathom
