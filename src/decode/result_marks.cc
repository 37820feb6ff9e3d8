#include "decode/result_marks.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/remote_path.h"
#include "convert/source_folder.h"

namespace fathom {

std::string folder_mark(const Config& config) {
  const std::string& path = config.load_parameters_path;
  if (is_remote(path)) return path;
  const std::filesystem::path out = std::filesystem::absolute(path).lexically_normal();
  return (out.has_filename() ? out : out.parent_path()).string();  // "a/" is "a"
}

std::string weights_mark(const Config& config) { return source_identity(config.load_parameters_path).substr(0, 16); }

std::string numbers_mark(const Config& config) {
  return fmt::format("{} {} {} {}", name(config.dtype), name(config.weight_dtype),
                     static_cast<int>(config.quantize_weights), static_cast<int>(config.quantization));
}

}  // namespace fathom
