#include "drive/run_folder.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

}  // namespace

RunFolder::RunFolder(const Config& config) : config_(config) {
  require_writable("base_output_directory", config.run_directory + "/metrics.jsonl");
  if (!config.metrics_file.empty()) require_writable("metrics_file", config.metrics_file);
  make_folders();
  metrics_ = std::make_unique<MetricsWriter>(MetricsWriterOptions{.folder = config.run_directory,
                                                                  .copy = config.metrics_file,
                                                                  .first_step = 0,
                                                                  .overwrite = config.overwrite,
                                                                  .tensorboard = config.enable_tensorboard,
                                                                  .tensorboard_flush_steps = config.log_period});
}

void RunFolder::make_folders() {
  std::error_code none;
  for (fs::path place = config_.run_directory; !place.empty() && !fs::exists(place, none);
       place = place.parent_path()) {
    made_.push_back(place.string());
  }
  std::reverse(made_.begin(), made_.end());
  for (const std::string& folder : made_) {
    on_stop_.push_back(std::make_unique<RemovedOnStop>(folder));
    fs::create_directory(folder, none);
  }
}

RunFolder::~RunFolder() {
  if (begun_) return;
  metrics_.reset();
  std::error_code none;
  // Only those that are empty go.
  for (size_t i = made_.size(); i-- > 0;) fs::remove(made_[i], none);
}

void RunFolder::begin(int64_t parameters) {
  write_file_atomically(config_.run_directory + "/config.yml", to_yaml(config_));
  metrics_->write_text("num_model_parameters", std::to_string(parameters));
  begun_ = true;
}

}  // namespace fathom
