#include "program/state.h"

#include <gmock/gmock.h>

#include <set>

#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

Config configured(const std::string& key, const std::string& mask) {
  std::vector<std::string> keys = {"configs/base.yml", "dataset_type=synthetic", "run_name=test",
                                   "model_name=deepseek3-tiny"};
  if (!key.empty()) keys.push_back(key + "=['" + mask + "']");
  return resolve_config(keys, {}).config;
}

std::set<std::string> undecayed(const std::string& mask) {
  const StateSpec spec = state_spec(configured("adamw_mask", mask));
  std::set<std::string> out;
  for (const StateEntry& e : spec.entries) {
    if (e.role == StateRole::kTrained && !e.decayed) out.insert(e.name);
  }
  return out;
}

TEST(State, MasksAreReadAsPythonReadsThem) {
  const std::set<std::string> kernels = undecayed("kernel$");
  EXPECT_GT(kernels.size(), 5u);
  EXPECT_EQ(undecayed("kernel\\Z"), kernels);
  EXPECT_EQ(undecayed("(?i)KERNEL$"), kernels);
  const std::set<std::string> embedding = undecayed("^token");
  EXPECT_EQ(embedding.size(), 1u);
  EXPECT_EQ(undecayed("\\Atoken"), embedding);
  EXPECT_EQ(undecayed("(?P<first>token)_embedder"), embedding);
}

TEST(State, AMaskThatMatchesNothingNamesNearPaths) {
  for (const char* key : {"adamw_mask", "trainable_parameters_mask"}) {
    EXPECT_THAT([&] { state_spec(configured(key, "moe_layers/.*/kernle")); },
                ThrowsMessage<ConfigError>(AllOf(HasSubstr(std::string(key) + ": 'moe_layers/.*/kernle' matches no "),
                                                 HasSubstr("the nearest are decoder/moe_layers/"))));
  }
}

TEST(State, AnExplosiveMaskIsAnErrorAndNoHang) {
  EXPECT_THAT([] { state_spec(configured("adamw_mask", "([a-z_/]+)+[!?]")); },
              ThrowsMessage<ConfigError>(HasSubstr("steps on 'token_embedder/embedding'")));
}

TEST(State, NamesOfWhatMayBeMissingMustMatchAndThoseOfModulesHaveTheirNumber) {
  EXPECT_THAT([] { state_spec(configured("init_missing_parameters", ".*indexer.*")); },
              ThrowsMessage<ConfigError>(HasSubstr("init_missing_parameters: '.*indexer.*' matches no parameter")));
  Config config = configured("init_missing_parameters", "mtp_block/mtp_layer_1/mtp_1_projection");
  config.mtp_num_layers = 1;
  EXPECT_NO_THROW(state_spec(config));
}

}  // namespace
}  // namespace fathom
