// Training from folders of weights of every form: the first loss is that of the Hugging Face folder.
#include <gmock/gmock.h>

#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kV3 = "tests/data/deepseek_v3/hf";

Words keys(const std::string& folder, const std::string& output, const Words& more) {
  Words out = {"model_name=auto",
               "load_parameters_path=" + folder,
               "dataset_type=synthetic",
               "dtype=float32",
               "steps=1",
               "per_device_batch_size=2",
               "max_target_length=32",
               "run_name=run",
               "enable_checkpointing=false",
               "overwrite=true",
               "base_output_directory=" + output};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

double first_loss(const std::string& folder, const Words& more = {}) {
  const TemporaryFolder output;
  const Outcome outcome = train(keys(folder, output.path(), more));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return read_records(output / "run/metrics.jsonl").at(0)["learning/loss"].get<double>();
}

TEST(LoadWeights, AnOrbaxFolderGivesTheLossOfTheHuggingFaceFolder) {
  const TemporaryFolder out;
  const double expected = first_loss(kV3);
  for (const char* scan : {"scan_layers=true", "scan_layers=false"}) {
    const std::string folder = out / scan;
    Process convert({"to_maxtext", "model_name=auto", scan, "base_output_directory=" + folder,
                     std::string("--hf_model_path=") + kV3, "--save_dtype=float32"});
    ASSERT_EQ(convert.wait(), 0) << convert.err();
    EXPECT_NEAR(first_loss(folder + "/0/items"), expected, 1e-6) << scan;
    EXPECT_NEAR(first_loss(folder + "/0", {"scan_layers=false"}), expected, 1e-6) << scan;
    // Two devices add in another order, of which the processor has a part: a few units of 2^-23 of the loss.
    EXPECT_NEAR(first_loss(folder + "/0", {"cpu_device_count=2", "ici_fsdp_parallelism=2", "per_device_batch_size=1"}),
                expected, 1e-6 * expected)
        << scan;
  }
}

// The folder without the tensors whose name holds a text.
void write_without(const std::string& left_out, const std::string& folder) {
  const TensorFolder source = TensorFolder::open(kV3);
  std::vector<TensorSpec> specs;
  for (const std::string& name : source.names()) {
    if (name.find(left_out) != std::string::npos) continue;
    specs.push_back({.name = name, .dtype = source.find(name)->dtype, .sizes = source.find(name)->sizes});
  }
  plan_shards(specs, int64_t{1} << 30);
  SafetensorsWriter writer(folder, specs);
  for (const TensorSpec& spec : specs) writer.write(spec.name, source.tensor(spec.name));
  writer.finish();
  std::filesystem::copy_file(std::string(kV3) + "/config.json", folder + "/config.json");
}

TEST(LoadWeights, WhatMayBeMissingBeginsAsInAFreshRunAndNothingElseMay) {
  const TemporaryFolder folder, output;
  write_without("e_score_correction_bias", folder.path());
  const Outcome refused = train(keys(folder.path(), output.path(), {}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("missing (2)"), HasSubstr("model.layers.1.mlp.gate.e_score_correction_bias")));
  const Outcome begun = train(keys(folder.path(), output.path(), {"init_missing_parameters=['.*gate/bias']"}));
  EXPECT_EQ(begun.exit_code, 0) << begun.err;
  EXPECT_THAT(begun.err, HasSubstr("initialised as in a fresh run: decoder.moe_layers.moe.router_bias"));
}

}  // namespace
}  // namespace fathom
