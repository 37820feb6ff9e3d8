#include "aot/shardings.h"

#include <gmock/gmock.h>

#include <fstream>

#include "config/resolve/resolve.h"
#include "mesh/device_mesh.h"

namespace fathom {
namespace {

using testing::Contains;
using testing::UnorderedElementsAreArray;

Config config_of(const std::string& model, const std::vector<std::string>& more) {
  std::vector<std::string> words{"configs/base.yml", "run_name=test", "dataset_type=synthetic", "model_name=" + model};
  words.insert(words.end(), more.begin(), more.end());
  return resolve_config(words, {}, {.needs_data = false}).config;
}

std::vector<std::string> lines(const std::string& model, int64_t devices, const std::vector<std::string>& more = {}) {
  Config config = config_of(model, more);
  return sharding_lines(config, state_spec(config, resolve_mesh(config, devices).mesh));
}

// The shardings that MaxText's own tests keep of this configuration (tests/utils/sharding_info, August 2026).
TEST(ShardingLines, AreMaxTextsNamesSizesAndAxes) {
  std::ifstream file("tests/data/machines/deepseek2-16b_v6e-16.txt");
  std::string line;
  std::getline(file, line);  // says what it is
  std::vector<std::string> theirs;
  while (std::getline(file, line)) theirs.push_back(line);
  ASSERT_EQ(theirs.size(), 27U);
  EXPECT_THAT(lines("deepseek2-16b", 16, {"compile_topology=v6e-16", "ici_expert_parallelism=4"}),
              UnorderedElementsAreArray(theirs));
}

TEST(ShardingLines, LayerAxisStandsWhereMaxTextHasIt) {
  std::vector<std::string> v3 = lines("deepseek3-671b", 128);
  EXPECT_THAT(v3, Contains("sharding: params.decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.wi_0 "
                           "sizes=[256,58,7168,2048] axes=[-,-,fsdp,-]"));
  EXPECT_THAT(v3, Contains("sharding: params.decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.gate.bias "
                           "sizes=[58,256] axes=[-,-]"))
      << "in front, as its code has it";
  EXPECT_THAT(v3, Contains("sharding: params.decoder.dense_layers.self_attention.q_norm.scale sizes=[1536,3] "
                           "axes=[-,-]"))
      << "behind the axis of a vector";
  EXPECT_THAT(lines("deepseek3-671b", 128, {"param_scan_axis=0"}),
              Contains("sharding: params.decoder.dense_layers.self_attention.wq_a.kernel sizes=[3,7168,1536] "
                       "axes=[-,fsdp,-]"));
}

TEST(ShardingLines, UnscannedLayersCountFromZeroInEachStack) {
  std::vector<std::string> v2 = lines("deepseek2-16b", 4, {"scan_layers=false"});
  EXPECT_THAT(v2, Contains("sharding: params.decoder.dense_layers_0.mlp.wo.kernel sizes=[10944,2048] axes=[-,fsdp]"));
  EXPECT_THAT(v2, Contains("sharding: params.decoder.moe_layers_25.self_attention.out.kernel sizes=[16,128,2048] "
                           "axes=[-,-,fsdp]"));
  EXPECT_THAT(v2, testing::Not(Contains(testing::HasSubstr("moe_layers_26"))));
}

TEST(ShardingLines, OneDeviceSplitsNothing) {
  EXPECT_THAT(lines("deepseek2-16b", 1),
              Contains("sharding: params.token_embedder.embedding sizes=[102400,2048] axes=[-,-]"));
}

}  // namespace
}  // namespace fathom
