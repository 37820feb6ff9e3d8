#include "decode/result_marks.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/remote_path.h"
#include "convert/source_folder.h"

namespace fathom {

std::string folder_mark(const Config& config) {
  const std::string& path = config.load_parameters_path;
  return is_remote(path) ? path : std::filesystem::absolute(path).lexically_normal().string();
}

std::string weights_mark(const Config& config) { return source_identity(config.load_parameters_path).substr(0, 16); }

std::string numbers_mark(const Config& config) {
  return fmt::format("{} {} {}", name(config.dtype), name(config.weight_dtype),
                     static_cast<int>(config.quantize_weights));
}

}  // namespace fathom
