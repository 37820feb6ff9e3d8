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

MadeFolders::MadeFolders(const std::string& folder) {
  std::error_code none;
  for (fs::path place = folder; !place.empty() && !fs::exists(place, none); place = place.parent_path()) {
    made_.push_back(place.string());
  }
  std::reverse(made_.begin(), made_.end());
  for (const std::string& missing : made_) {
    on_stop_.push_back(std::make_unique<RemovedOnStop>(missing));
    fs::create_directory(missing, none);
  }
}

MadeFolders::~MadeFolders() {
  std::error_code none;
  for (size_t i = made_.size(); i-- > 0;) fs::remove(made_[i], none);
}

RunFolder::RunFolder(const Config& config, bool goes_on) : config_(config), goes_on_(goes_on) {
  require_writable("base_output_directory", config.run_directory + "/metrics.jsonl");
  if (!config.metrics_file.empty()) require_writable("metrics_file", config.metrics_file);
  made_ = std::make_unique<MadeFolders>(config.run_directory);
  metrics_ = std::make_unique<MetricsWriter>(MetricsWriterOptions{.folder = config.run_directory,
                                                                  .copy = config.metrics_file,
                                                                  .first_step = 0,
                                                                  .overwrite = config.overwrite,
                                                                  .own = goes_on,
                                                                  .tensorboard = config.enable_tensorboard,
                                                                  .tensorboard_flush_steps = config.log_period});
}

void RunFolder::begin(int64_t parameters, int64_t first_step) {
  if (goes_on_) metrics_->go_on(first_step);
  write_file_atomically(config_.run_directory + "/config.yml", to_yaml(config_));
  metrics_->write_text("num_model_parameters", std::to_string(parameters));
}

}  // namespace fathom
