#include "convert/weight_source.h"

#include <fmt/format.h>

#include "base/error.h"
#include "convert/hf_weights.h"
#include "convert/orbax_weights.h"

namespace fathom {

std::unique_ptr<WeightSource> open_weights(const std::string& path, const WantedWeights& wanted) {
  if (TensorFolder::is_model_folder(path)) return std::make_unique<HfWeights>(TensorFolder::open(path), wanted);
  if (OrbaxFolder::is_checkpoint(path)) return std::make_unique<OrbaxWeights>(OrbaxFolder::open(path), wanted);
  throw ConfigError(fmt::format("{}: neither a folder of safetensors ({} or {}) nor a checkpoint of Orbax's", path,
                                kModelFile, kModelIndex));
}

int64_t prediction_modules(const std::string& path) {
  if (TensorFolder::is_model_folder(path)) return prediction_modules(TensorFolder::open(path));
  return OrbaxFolder::is_checkpoint(path) ? prediction_modules(OrbaxFolder::open(path)) : 0;
}

std::optional<DType> stored_dtype(const std::string& path) {
  constexpr std::string_view kHf = "model.embed_tokens.weight", kPeer = "params.params.token_embedder.embedding";
  if (TensorFolder::is_model_folder(path)) {
    const TensorFolder folder = TensorFolder::open(path);
    const TensorInfo* info = folder.find(kHf);
    return info == nullptr ? std::nullopt : std::optional(info->dtype);
  }
  if (!OrbaxFolder::is_checkpoint(path)) return std::nullopt;
  const OrbaxFolder folder = OrbaxFolder::open(path);
  const StoredArray* array = folder.find(kPeer);
  return array == nullptr ? std::nullopt : std::optional(array->dtype);
}

}  // namespace fathom
