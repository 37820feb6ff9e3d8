#include "decode/result_marks.h"

#include <filesystem>
#include <map>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/remote_path.h"
#include "config/resolve/model_key_names.h"
#include "config/resolve/resolve.h"
#include "convert/source_folder.h"

namespace fathom {
namespace {

constexpr size_t kMarkDigits = 16;

}  // namespace

std::string folder_mark(const Config& config) {
  const std::string& path = config.load_parameters_path;
  if (is_remote(path)) return path;
  const std::filesystem::path out = std::filesystem::absolute(path).lexically_normal();
  return (out.has_filename() ? out : out.parent_path()).string();  // "a/" is "a"
}

std::string weights_mark(const Config& config) {
  return source_identity(config.load_parameters_path).substr(0, kMarkDigits);
}

std::string model_mark(const Config& config) {
  constexpr std::string_view kOthers[] = {
      "dtype",        "indexer_topk",     "init_missing_parameters", "matmul_precision", "max_position_embeddings",
      "quantization", "quantize_weights", "rope_attention_scaling",  "rope_interleave",  "rope_truncate",
      "weight_dtype"};
  const std::map<std::string, std::string> values = yaml_values(to_yaml(config));
  std::vector<std::string> parts;
  for (const auto keys : {model_key_names(), std::span<const std::string_view>(kOthers)}) {
    for (const std::string_view key : keys) parts.push_back(values.at(std::string(key)));
  }
  return hash_of_parts(parts).substr(0, kMarkDigits);
}

}  // namespace fathom
