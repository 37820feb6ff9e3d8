// The config.json of every release of the family, and of the forms that are met in the wild: the keys and the number of
// parameters that they must give.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "config/resolve/hf_config_text.h"
#include "config/resolve/resolve.h"
#include "model/params.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfigs = "tests/data/configs";

Config config_of(const std::string& folder) {
  const std::vector<std::string> words = {"model_name=auto", "run_name=test"};
  return resolve_config(words, {}, {.needs_data = false, .model_folder = folder}).config;
}

int64_t parameters(const Config& config, int64_t modules) {
  ModelConfig model = model_config(config);
  model.prediction_layers = modules;
  return count_params(model, param_table(model)).parameters;
}

std::vector<std::string> folders() {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs)) {
    if (entry.path().filename() == "config.json") out.push_back(entry.path().parent_path().string());
  }
  std::ranges::sort(out);
  return out;
}

// What a resolved configuration says under the peer's name of a key.
json said(const Config& config, const std::string& key) {
  const std::string line = fmt::format("\n{}: ", key);
  const std::string text = "\n" + to_yaml(config);
  const size_t at = text.find(line);
  if (at == std::string::npos) return nullptr;
  const std::string value = text.substr(at + line.size(), text.find('\n', at + 1) - at - line.size());
  const json read = json::parse(value, nullptr, false);
  return read.is_discarded() ? json(value) : read;
}

class Release : public testing::TestWithParam<std::string> {};

TEST_P(Release, HasItsKeysAndItsNumberOfParameters) {
  const Config config = config_of(GetParam());
  const json expected = json::parse(read_file(GetParam() + "/expected.json"));
  for (const auto& [key, value] : expected["maxtext"].items()) {
    json wanted = value;
    // No groups at all: fathom's resolved configuration says 0, the peer -1.
    if ((key == "n_routing_groups" || key == "topk_routing_group") && value == -1) wanted = 0;
    if (key == "mlp_activations" || key == "mscale") continue;
    const json is = said(config, key);
    if (is.is_number() && wanted.is_number()) {
      EXPECT_DOUBLE_EQ(is.get<double>(), wanted.get<double>()) << key;
    } else {
      EXPECT_EQ(is, wanted) << key;
    }
  }
  const json& counts = expected["parameters"];
  EXPECT_EQ(parameters(config, 0), counts["main"].get<int64_t>());
  const int64_t modules = counts["mtp_layers"].get<int64_t>();
  EXPECT_EQ(parameters(config, modules) - parameters(config, 0), counts["mtp_own"].get<int64_t>());
  ModelConfig model = model_config(config);
  EXPECT_EQ(count_params(model, param_table(model)).active, counts["active_per_token"].get<int64_t>());
  EXPECT_NEAR(model.softmax_scale, expected["rope"]["softmax_scale"].get<double>(), 1e-12);
  EXPECT_NEAR(model.rope.magnitude, expected["rope"]["cos_sin_factor"].get<double>(), 1e-12);
}

// A checkpoint without a config.json gets one of its configuration: it must say the same.
TEST_P(Release, ComesBackFromTheConfigJsonThatIsMadeOfIt) {
  const Config config = config_of(GetParam());
  const TemporaryFolder folder;
  write_file_atomically(folder.path() + "/config.json", hf_config_text(config, DType::kBF16));
  const Config again = config_of(folder.path());
  std::string before = to_yaml(config), after = to_yaml(again);
  EXPECT_EQ(before, after);
}

INSTANTIATE_TEST_SUITE_P(All, Release, testing::ValuesIn(folders()), [](const auto& info) {
  std::string name = fs::path(info.param).filename().string();
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

// The fields in which a config.json differs from V3's: what is wrong in it is one of them.
std::vector<std::string> fields_unlike_v3(const json& config) {
  const json v3 = json::parse(read_file(fmt::format("{}/DeepSeek-V3/config.json", kConfigs)));
  std::vector<std::string> out;
  for (const json& side : {config, v3}) {
    for (const auto& [field, value] : side.items()) {
      if (config.value(field, json()) != v3.value(field, json())) out.push_back(field);
    }
  }
  return out;
}

TEST(RefusedConfig, OneErrorNamesTheField) {
  const json cases = json::parse(read_file(fmt::format("{}/refused/expected.json", kConfigs)));
  ASSERT_FALSE(cases.empty());
  for (const json& one : cases) {
    const TemporaryFolder folder;
    const std::string file = one["file"].get<std::string>();
    const std::string path = fmt::format("{}/refused/{}", kConfigs, file);
    fs::copy_file(path, folder.path() + "/config.json");
    const std::vector<std::string> wrong = fields_unlike_v3(json::parse(read_file(path)));
    try {
      config_of(folder.path());
      ADD_FAILURE() << file << " is accepted";
    } catch (const ConfigError& e) {
      const std::string said = e.what();
      EXPECT_TRUE(std::ranges::any_of(wrong, [&](const std::string& f) { return said.find(f) != said.npos; }))
          << file << ": " << one["refusal"] << ": " << said;
    }
  }
}

}  // namespace
}  // namespace fathom
