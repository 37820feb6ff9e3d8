#include "drive/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "config/resolve/resolve.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Found before the work, as for a local folder.
void require_writable_remote(std::string_view key, const UploadedFolder& folder) {
  try {
    folder.require_writable();
  } catch (const RuntimeFault& e) {
    throw ConfigError(fmt::format("{}: {}", key, e.what()));
  }
}

// What an earlier run left there, if it is there.
void fetch(std::string_view key, UploadedFolder& folder, const std::string& name) {
  try {
    folder.fetch(name);
  } catch (const Error& e) {
    throw ConfigError(fmt::format("{}: {}", key, e.what()));
  }
}

}  // namespace

MadeFolders::MadeFolders(std::string_view key, const std::string& folder) {
  std::error_code none;
  for (fs::path place = folder; !place.empty() && !fs::exists(place, none); place = place.parent_path()) {
    made_.push_back(place.string());
  }
  std::reverse(made_.begin(), made_.end());
  for (const std::string& missing : made_) {
    on_stop_.push_back(std::make_unique<RemovedOnStop>(missing));
    std::error_code fault;
    fs::create_directory(missing, fault);
    if (!fault) continue;
    remove();
    throw ConfigError(fmt::format("{}: {} cannot be made: {}", key, missing, fault.message()));
  }
}

void MadeFolders::remove() {
  std::error_code none;
  for (size_t i = made_.size(); i-- > 0;) fs::remove(made_[i], none);
}

RunFolder::RunFolder(const Config& config, bool goes_on)
    : config_(config), goes_on_(goes_on), folder_(config.run_directory) {
  MetricsWriterOptions options{.folder = folder_,
                               .copy = config.metrics_file,
                               .first_step = 0,
                               .overwrite = config.overwrite,
                               .own = goes_on,
                               .tensorboard = config.enable_tensorboard,
                               .tensorboard_flush_steps = config.log_period,
                               .load_steps = config.log_period};
  if (is_remote(folder_)) {
    run_copy_.emplace(config.run_directory);
    for (const char* name : {"metrics.jsonl", "expert_load.jsonl", "log.txt"})
      fetch("base_output_directory", *run_copy_, name);
    folder_ = options.folder = run_copy_->local();
    options.shown_folder = config.run_directory;
  } else {
    require_writable("base_output_directory", folder_ + "/metrics.jsonl");
  }
  if (is_remote(config.metrics_file)) {
    const std::string name(base_name(config.metrics_file));
    const std::string folder = config.metrics_file.substr(0, config.metrics_file.rfind('/'));
    if (!is_remote(folder) || config.metrics_file.ends_with('/')) {
      throw ConfigError(fmt::format("metrics_file={}: names no file", config.metrics_file));
    }
    metrics_copy_.emplace(folder);
    fetch("metrics_file", *metrics_copy_, name);
    options.copy = join_path(metrics_copy_->local(), name);
    options.shown_copy = config.metrics_file;
  } else if (!config.metrics_file.empty()) {
    require_writable("metrics_file", config.metrics_file);
  }
  options.flushed = [this] {
    if (run_copy_) run_copy_->upload_soon();
    if (metrics_copy_) metrics_copy_->upload_soon();
  };
  made_ = std::make_unique<MadeFolders>("base_output_directory", folder_);
  made_for_copy_ = std::make_unique<MadeFolders>("metrics_file", fs::path(options.copy).parent_path().string());
  metrics_ = std::make_unique<MetricsWriter>(options);
  if (run_copy_) require_writable_remote("base_output_directory", *run_copy_);
  if (metrics_copy_) require_writable_remote("metrics_file", *metrics_copy_);
}

void RunFolder::begin(int64_t parameters, int64_t first_step) {
  if (goes_on_) metrics_->go_on(first_step);
  write_file_atomically(join_path(folder_, "config.yml"), to_yaml(config_));
  log_.emplace(join_path(folder_, "log.txt"), config_.overwrite && !goes_on_);
  metrics_->write_text("num_model_parameters", std::to_string(parameters));
  if (run_copy_) run_copy_->upload();
}

void RunFolder::write_through() {
  metrics_->flush();
  if (run_copy_) run_copy_->upload();
  if (metrics_copy_) metrics_copy_->upload();
}

void log_end(const Config& config, int process, const std::exception& error) {
  log_to_file(LogLevel::kError, ending_text(error));
  if (process == 0) return;
  const std::string path = join_path(config.run_directory, fmt::format("log.{}.txt", process));
  try {
    file_store(path).write_atomically(path, kept_log());
  } catch (const std::exception& e) {
    log_warning("{}", e.what());
  }
}

}  // namespace fathom
