// A run that drops tokens begins with the losses that the rule gives for a checkpoint of MaxText
// (tests/data/maxtext/dropping.json), whatever the mesh.
#include <gtest/gtest.h>

#include "base/file.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;

const json& model() {
  static const json all = json::parse(read_file("tests/data/maxtext/dropping.json"));
  return all.at("models").at(0);
}

Words keys_of(const json& one, const Words& mesh, const TemporaryFolder& folder) {
  std::string lines;
  for (const json& row : model().at("tokens")) lines += json{{"tokens", row}}.dump() + "\n";
  json keys = model().at("keys");
  keys.update(one.at("keys"));
  Words out;
  for (const auto& [key, value] : keys.items()) {
    out.push_back(key + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
  }
  for (const char* word :
       {"defaults=maxtext", "dataset_type=files", "tokenize_train_data=False", "packing=False", "run_name=run",
        "enable_data_shuffling=False", "enable_tensorboard=false", "hardware=cpu", "steps=1", "dtype=float32",
        "max_target_length=16", "matmul_precision=highest", "enable_checkpointing=false", "megablox=False",
        "load_parameters_path=tests/data/checkpoints/scanned/dual_bias/items"}) {
    out.emplace_back(word);
  }
  out.push_back("jax_cache_dir=" + compile_cache());
  out.push_back("base_output_directory=" + folder.path());
  out.push_back("dataset_path=" + folder.write("tokens.jsonl", lines));
  out.insert(out.end(), mesh.begin(), mesh.end());
  return out;
}

class DroppingRun : public testing::TestWithParam<Words> {};

TEST_P(DroppingRun, BeginsWithTheLossAndTheGradientNormOfTheRule) {
  for (const json& one : model().at("cases")) {
    if (!one.at("keys").contains("capacity_factor")) continue;
    TemporaryFolder folder;
    const Outcome outcome = train(keys_of(one, GetParam(), folder));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const json step = read_records(folder / "run/metrics.jsonl").at(0);
    EXPECT_NEAR(step.at("learning/loss").get<double>(), one.at("loss").get<double>(), 1e-5) << one.at("name");
    EXPECT_NEAR(step.at("learning/raw_grad_norm").get<double>(), one.at("gradient_l2_total").get<double>(), 1e-5)
        << one.at("name");
  }
}

INSTANTIATE_TEST_SUITE_P(Meshes, DroppingRun,
                         testing::Values(Words{"per_device_batch_size=4"},
                                         Words{"per_device_batch_size=1", "cpu_device_count=4",
                                               "ici_fsdp_parallelism=1", "ici_data_parallelism=2",
                                               "ici_expert_parallelism=2"}),
                         [](const auto& info) { return info.index == 0 ? "OneDevice" : "DataAndExpert"; });

}  // namespace
}  // namespace fathom
