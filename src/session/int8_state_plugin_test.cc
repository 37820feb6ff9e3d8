// Parameters that are read from a folder and held as numbers of 8 bits.
#include <gmock/gmock.h>

#include "config/resolve/resolve.h"
#include "session/state_load.h"

namespace fathom {
namespace {

struct Loaded {
  Config config;
  Session session;
  StateSpec spec;
  State state;

  explicit Loaded(std::vector<std::string> keys)
      : config(resolved(std::move(keys))),
        session(config),
        spec(state_spec(config, session.mesh().mesh)),
        state(make_parameters(session, config, spec)) {}

  static Config resolved(std::vector<std::string> keys) {
    keys.insert(keys.begin(), {"model_name=auto", "load_parameters_path=tests/data/deepseek_v3/hf", "hardware=cpu",
                               "weight_dtype=float32", "run_name=int8", "jax_cache_dir=", "mtp_num_layers=1"});
    return resolve_config(keys, {}, {.needs_data = false}).config;
  }
};

// Every matrix but the embedding, the routers and what chooses; each number within half a step of its scale.
void expect_same_weights(const std::string& scan) {
  Loaded plain({scan}), held({scan, "quantize_weights=int8"});
  size_t matrices = 0;
  for (size_t i : held.spec.parameters()) {
    const StateEntry& entry = held.spec.entries[i];
    const HostArray w = plain.state.at(entry.name).to_host();
    if (!entry.is_int8()) {
      EXPECT_TRUE(entry.type.shape.rank() < 3 || entry.name.ends_with("router")) << entry.name;
      continue;
    }
    ++matrices;
    const HostArray q = held.state[i].to_host(), scales = held.state[held.spec.scales(i)].to_host();
    const auto columns = static_cast<size_t>(held.spec.param(entry).fan_in), groups = (columns + 127) / 128;
    ASSERT_EQ(scales.view<float>().size(), w.view<float>().size() / columns * groups) << entry.name;
    for (size_t k = 0; k < w.view<float>().size(); ++k) {
      const float scale = scales.view<float>()[k / columns * groups + k % columns / 128];
      ASSERT_NEAR(w.view<float>()[k], scale * static_cast<float>(q.view<int8_t>()[k]), 0.5001F * scale)
          << entry.name << " " << k;
    }
  }
  EXPECT_GT(matrices, 10u);
  EXPECT_LT(held.spec.bytes_of_a_device(parameters_alone), plain.spec.bytes_of_a_device(parameters_alone) / 2);
}

TEST(Int8State, HoldsTheMatricesOfStackedLayers) { expect_same_weights("scan_layers=true"); }
TEST(Int8State, HoldsTheMatricesOfLayersOneByOne) { expect_same_weights("scan_layers=false"); }

TEST(Int8State, IsRefusedWhereAMatrixIsMissing) {
  EXPECT_THAT(
      [] {
        Loaded({"load_parameters_path=tests/data/deepseek_v2/hf", "mtp_num_layers=1",
                "init_missing_parameters=['.*mtp_block.*']", "quantize_weights=int8"});
      },
      testing::ThrowsMessage<ConfigError>(testing::HasSubstr("is not there; quantize_weights=int8")));
}

TEST(Int8State, IsRefusedOnAMesh) {
  EXPECT_THAT(
      [] {
        Loaded({"quantize_weights=int8", "cpu_device_count=2"});
      },
      testing::ThrowsMessage<ConfigError>(testing::HasSubstr("quantize_weights=int8 is for one device")));
}

TEST(Int8State, IsRefusedForTraining) {
  const std::vector<std::string> words{"model_name=deepseek3-tiny", "run_name=int8", "dataset_type=synthetic",
                                       "quantize_weights=int8"};
  EXPECT_THAT([&] { resolve_config(words, {}, {}); }, testing::ThrowsMessage<ConfigError>(testing::HasSubstr(
                                                          "quantize_weights=int8 is for weights that are only read")));
}

}  // namespace
}  // namespace fathom
