// Experts that keep a bounded number of each row's tokens, against losses and gradients in float64
// (tests/data/maxtext/dropping.json says how they were made), on one device and on four.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "mesh_run.h"
#include "peer_batch.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kFolder = "tests/data/deepseek_v3/hf";

// That of the model whose weights are a Hugging Face folder here.
json expected() { return json::parse(read_file("tests/data/maxtext/dropping.json")).at("models").at(1); }

Config config_of(const json& keys, const std::vector<std::string>& more) {
  std::vector<std::string> words = {"per_device_batch_size=1", "max_target_length=32"};
  for (const auto& [key, value] : keys.items()) words.push_back(key + "=" + value.dump());
  words.insert(words.end(), more.begin(), more.end());
  return folder_config(kFolder, words);
}

struct Case {
  const char* name;
  size_t index;  // in the file
  int64_t devices;
  std::vector<std::string> mesh;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

double l2(const HostArray& array) {
  double sum = 0;
  for (float x : array.view<float>()) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

class Dropping : public testing::TestWithParam<Case> {};

TEST_P(Dropping, GivesTheLossAndTheGradientsOfWhatIsKept) {
  const json model = expected(), want = model.at("cases").at(GetParam().index);
  const Config config = config_of(want.at("keys"), GetParam().mesh);
  const StateSpec spec = state_spec(config, mesh_of(config, GetParam().devices));
  const ArraysByName batch = peer_batch(model.at("tokens"), {}, GetParam().devices);
  const Program program = gradient_step(config, spec, shape_of(batch));
  const std::vector<HostArray> results = run_on_mesh(program, first_arguments(spec, program.signature, kFolder, batch));
  EXPECT_NEAR(named_numbers(program.signature, results, "scalars").at("loss"), want.at("loss").get<double>(), 1e-5);
  for (size_t i : spec.with_role(StateRole::kTrained)) {
    const StateEntry& entry = spec.entries[i];
    const std::string& peer = spec.param(entry).peer;
    const double norm = l2(result_named(program.signature, results, "gradient." + spec.array_name(entry)));
    EXPECT_NEAR(norm, want.at("gradient_l2").at(peer).get<double>(), 1e-5 * std::max(norm, 1.0)) << peer;
  }
  // The first layer's router, [d e] in the file and [l e d] here.
  const HostArray& router = result_named(program.signature, results, "gradient.decoder.moe_layers.moe.router");
  const json& rows = want.at("router_gradient");
  const auto experts = static_cast<size_t>(router.sizes()[1]), width = static_cast<size_t>(router.sizes()[2]);
  ASSERT_EQ(rows.size(), width);
  for (size_t d = 0; d < width; ++d) {
    for (size_t e = 0; e < experts; ++e) {
      EXPECT_NEAR(router.view<float>()[e * width + d], rows[d][e].get<double>(), 1e-5) << e << ", " << d;
    }
  }
}

const std::vector<std::string> kFour = {"cpu_device_count=4", "ici_fsdp_parallelism=1", "ici_data_parallelism=2",
                                        "ici_expert_parallelism=2"};
const std::vector<std::string> kFsdp = {"cpu_device_count=4", "ici_fsdp_parallelism=4"};

INSTANTIATE_TEST_SUITE_P(Cases, Dropping,
                         testing::Values(Case{"Factor1", 0, 1, {}}, Case{"Factor1OnDataAndExpert", 0, 4, kFour},
                                         Case{"Factor125", 1, 1, {}}, Case{"Factor125OnDataAndExpert", 1, 4, kFour},
                                         Case{"WithoutGroups", 2, 1, {}}, Case{"WithoutGroupsOnFsdp", 2, 4, kFsdp}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fathom
