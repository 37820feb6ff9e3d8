#include "drive/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/remote_path.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

// Throws ConfigError unless the file or folder `path` can be made; nothing is made yet.
void require_writable(std::string_view key, const std::string& path) {
  namespace fs = std::filesystem;
  if (is_remote(path)) throw ConfigError(fmt::format("{}: {}: runs are written to local folders", key, path));
  fs::path place = fs::absolute(path);
  std::error_code none;
  while (!fs::exists(place, none) && place.has_relative_path()) place = place.parent_path();
  if (place != fs::absolute(path) && !fs::is_directory(place, none)) {
    throw ConfigError(fmt::format("{}: {} is a file, so {} cannot be made", key, place.string(), path));
  }
  if (::access(place.c_str(), W_OK) != 0) {
    throw ConfigError(fmt::format("{}: {}: {} cannot be written: {}", key, path, place.string(), std::strerror(errno)));
  }
}

}  // namespace

void require_writable_run(const Config& config) {
  require_writable("base_output_directory", config.run_directory + "/metrics.jsonl");
  if (!config.metrics_file.empty()) require_writable("metrics_file", config.metrics_file);
}

std::unique_ptr<MetricsWriter> open_run_folder(const Config& config, int64_t parameters) {
  write_file_atomically(config.run_directory + "/config.yml", to_yaml(config));
  auto out = std::make_unique<MetricsWriter>(MetricsWriterOptions{.folder = config.run_directory,
                                                                  .copy = config.metrics_file,
                                                                  .first_step = 0,
                                                                  .tensorboard = config.enable_tensorboard,
                                                                  .tensorboard_flush_steps = config.log_period});
  out->write_text("num_model_parameters", std::to_string(parameters));
  return out;
}

}  // namespace fathom
