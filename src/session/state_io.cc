#include "session/state_io.h"

#include <fmt/format.h>

#include <cmath>

#include "base/bf16.h"
#include "base/error.h"
#include "base/log.h"
#include "convert/hf_weights.h"

namespace fathom {
namespace {

bool all_finite(const HostArray& array) {
  if (array.dtype() == DType::kF32) {
    for (float x : array.view<float>()) {
      if (!std::isfinite(x)) return false;
    }
  } else if (array.dtype() == DType::kBF16) {
    for (uint16_t x : array.view<uint16_t>()) {
      if (!std::isfinite(bf16_to_float(x))) return false;
    }
  }
  return true;
}

}  // namespace

std::vector<ShardedArray*> TrainState::arguments() {
  std::vector<ShardedArray*> out;
  for (auto* group : {&parameters, &mu, &nu}) {
    for (ShardedArray& b : *group) out.push_back(&b);
  }
  out.push_back(&step);
  return out;
}

std::vector<ShardedArray> load_parameters(const Session& session, const std::string& path, const StateLayout& layout) {
  if (!TensorFolder::is_model_folder(path)) {
    throw ConfigError(fmt::format(
        "load_parameters_path: {} is no folder with model.safetensors or model.safetensors.index.json", path));
  }
  TensorFolder folder = TensorFolder::open(path);
  std::vector<ShardedArray> out(layout.arrays.size());
  load_hf_weights(folder, layout.model, layout.table, layout.arrays, [&](size_t i, HostArray array) {
    if (!all_finite(array)) {
      throw FormatError(path, fmt::format("{} ({}) holds numbers that are not finite", layout.arrays[i].name,
                                          layout.table[layout.arrays[i].row].hf));
    }
    out[i] = session.upload(array, layout.shardings[i]);
  });
  return out;
}

std::vector<ShardedArray> make_parameters(const Session& session, const Config& config, const StateLayout& layout) {
  if (!config.load_parameters_path.empty()) return load_parameters(session, config.load_parameters_path, layout);
  Compiled init = session.compile([&] { return init_parameters(layout); });
  HostArray seed = HostArray::allocate(DType::kS32, {});
  seed.mutable_view<int32_t>()[0] = static_cast<int32_t>(config.init_weights_seed);
  ShardedArray argument = session.upload(seed);
  return session.run(init, {&argument}).results;
}

TrainState make_state(const Session& session, const Config& config, const StateLayout& layout) {
  TrainState state;
  state.parameters = make_parameters(session, config, layout);
  Compiled zero = session.compile([&] { return init_optimizer(config, layout); });
  std::vector<ShardedArray> rest = session.run(zero, {}).results;
  size_t count = layout.trained.size();
  for (size_t i = 0; i < count; ++i) state.mu.push_back(std::move(rest[i]));
  for (size_t i = 0; i < count; ++i) state.nu.push_back(std::move(rest[count + i]));
  state.step = std::move(rest.back());
  return state;
}

}  // namespace fathom
