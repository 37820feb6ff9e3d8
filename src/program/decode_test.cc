// What a cache is made of, and that every program of decoding gives it back in place.
#include "program/decode.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

#include "config/resolve/resolve.h"
#include "mesh/device_mesh.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using Words = std::vector<std::string>;

int64_t cache_bytes(const ModelConfig& model, const CacheShape& shape) {
  int64_t bytes = 0;
  for (const ArgSpec& argument : cache_arguments({.model = model}, shape)) bytes += argument.type.bytes();
  return bytes;
}

Config configured(const Words& more) {
  Words words = {"configs/base.yml", "dataset_type=synthetic", "run_name=test", "model_name=deepseek3-tiny"};
  words.insert(words.end(), more.begin(), more.end());
  return resolve_config(words, {}).config;
}

TEST(Cache, IsALatentAndARotatedKeyATokenAndLayer) {
  const CacheShape shape{.rows = 128, .length = 1024};
  EXPECT_EQ(cache_bytes(deepseek3_671b(), shape), int64_t{128} * 1024 * 61 * (512 + 64) * 2);
  ModelConfig unscanned = deepseek3_671b();
  unscanned.scan_layers = false;
  EXPECT_EQ(cache_bytes(unscanned, shape), cache_bytes(deepseek3_671b(), shape));
}

TEST(Cache, HasTheIndexersKeysWhereItChooses) {
  EXPECT_EQ(cache_bytes(deepseek32_671b(), {.rows = 1, .length = 4096}), int64_t{4096} * 61 * (512 + 64 + 128) * 2);
  EXPECT_EQ(cache_bytes(deepseek32_671b(), {.rows = 1, .length = 2048}), int64_t{2048} * 61 * (512 + 64) * 2)
      << "the indexer keeps 2,048 keys: of no more it is not asked";
}

TEST(Cache, HasANameForEachStackOrLayer) {
  auto names = [](bool scan) {
    ModelConfig m = tiny_v3();
    m.layers = 3;
    m.prediction_layers = 1;
    m.scan_layers = scan;
    std::vector<std::string> out;
    for (const ArgSpec& a : cache_arguments({.model = m}, {.rows = 1, .length = 8})) out.push_back(a.name);
    return out;
  };
  EXPECT_THAT(names(true), ElementsAre("cache.decoder.dense_layers.kv", "cache.decoder.dense_layers.rotated",
                                       "cache.decoder.moe_layers.kv", "cache.decoder.moe_layers.rotated"));
  EXPECT_THAT(names(false), ElementsAre("cache.decoder.dense_layers.0.kv", "cache.decoder.dense_layers.0.rotated",
                                        "cache.decoder.moe_layers.0.kv", "cache.decoder.moe_layers.0.rotated",
                                        "cache.decoder.moe_layers.1.kv", "cache.decoder.moe_layers.1.rotated"));
}

TEST(Cache, IsTakenBackInPlaceByEveryProgram) {
  const CacheShape shape{.rows = 2, .length = 32};
  for (const char* scan : {"scan_layers=true", "scan_layers=false"}) {
    const Config config = configured({scan});
    const StateSpec spec = decode_spec(config, state_spec(config));
    std::vector<Program> programs;
    for (bool first : {true, false}) programs.push_back(prefill(config, spec, shape, {.length = 8, .first = first}));
    programs.push_back(decode_step(config, spec, shape));
    for (const Program& program : programs) {
      const Signature& s = program.signature;
      for (const ArgSpec& argument : s.args) {
        ASSERT_EQ(argument.donated_to.has_value(), argument.name.starts_with("cache.")) << argument.name;
        if (!argument.donated_to) continue;
        const ResultSpec& result = s.results[static_cast<size_t>(*argument.donated_to)];
        EXPECT_EQ(result.name, argument.name);
        EXPECT_EQ(result.type, argument.type);
      }
    }
  }
}

// Lines of products with an axis of this size.
int64_t products_over(const std::string& text, int64_t size) {
  int64_t out = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool product = line.find("stablehlo.dot_general") != std::string::npos;
    if (product && line.find(fmt::format("x{}x", size)) != std::string::npos) ++out;
  }
  return out;
}

TEST(Prefill, ThatGoesOnComputesWithTheFilledPlacesAlone) {
  constexpr int64_t kLong = 7680, kFilled = 48;
  const Config config = configured({});
  const StateSpec spec = decode_spec(config, state_spec(config));
  auto text = [&](int64_t places) {
    return emit(prefill(config, spec, {.rows = 1, .length = kLong}, {.length = 16, .first = false, .places = places}));
  };
  EXPECT_GT(products_over(text(0), kLong), 0);
  EXPECT_EQ(products_over(text(kFilled), kLong), 0);
  EXPECT_GT(products_over(text(kFilled), kFilled), 0);
}

TEST(Cache, OfAMeshHasSplitRowsAndWholeLengths) {
  const Config config = configured({"cpu_device_count=4", "ici_fsdp_parallelism=2", "ici_context_parallelism=2"});
  const StateSpec spec = decode_spec(config, state_spec(config, resolve_mesh(config, 4).mesh));
  for (const ArgSpec& argument : cache_arguments(spec, {.rows = 2, .length = 9})) {
    const Shape& shape = argument.type.shape;
    const std::vector<std::string>& rows = argument.sharding.dims[static_cast<size_t>(shape.find("b"))];
    EXPECT_EQ(std::ranges::count(rows, "fsdp"), 1) << argument.name;
    EXPECT_TRUE(argument.sharding.dims[static_cast<size_t>(shape.find("t"))].empty()) << argument.name;
  }
}

}  // namespace
}  // namespace fathom
