// How a run ends before its last step.
#include <gmock/gmock.h>
#include <signal.h>

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void expect_clean_stop(int signal) {
  StoppedRun run({"enable_tensorboard=true"}, signal);
  EXPECT_EQ(run.exit_code(), 128 + signal) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("stopping after this step"));
  // What was launched is finished, printed and written.
  std::vector<json> records = run.metrics();
  EXPECT_EQ(records.size(), static_cast<size_t>(run.steps_printed()));
  for (size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i]["step"], i);
  EXPECT_THAT(run.err(), HasSubstr(fmt::format("{} steps done", records.size())));
}

TEST(TrainStop, InterruptEndsAfterAWholeStep) { expect_clean_stop(SIGINT); }

TEST(TrainStop, TerminationEndsAfterAWholeStep) { expect_clean_stop(SIGTERM); }

// The first layer of the small model, a dense one, as a model of its own: the rate blows up the parameters in one step.
class Exploding {
 public:
  Exploding() {
    const std::string from = "tests/data/deepseek_v3/hf/";
    const TensorFolder model = TensorFolder::open(from);
    std::map<std::string, HostArray> tensors;
    for (const std::string& name : model.names()) {
      if (!name.starts_with("model.layers.") || name.starts_with("model.layers.0.")) tensors[name] = model.tensor(name);
    }
    write_safetensors(model_ / "model.safetensors", tensors);
    json config = json::parse(read_file(from + "config.json"));
    config["num_hidden_layers"] = 1;
    model_.write("config.json", config.dump());
  }

  Words keys() const {
    return {"load_parameters_path=" + model_.path(), "tokenizer_path=tests/data/deepseek_v3/hf", "max_target_length=16",
            "warmup_steps_fraction=0", "learning_rate=1e30"};
  }

 private:
  TemporaryFolder model_;
};

TEST(TrainStop, LossThatIsNotANumberNamesTheStepAndTheParameters) {
  TemporaryFolder output;
  const Exploding model;
  Outcome outcome = train(keys_with(model.keys(), output.path()));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  // The step that failed is the last one on record.
  std::vector<json> records = read_records(output / "run/metrics.jsonl");
  ASSERT_GE(records.size(), 2u);
  EXPECT_TRUE(records[0]["learning/loss"].is_number());
  EXPECT_EQ(records.back()["learning/loss"], "NaN");
  EXPECT_THAT(outcome.err, HasSubstr(fmt::format("step {}: the loss is nan", records.size() - 1)));
  EXPECT_THAT(outcome.err, HasSubstr("before this step: embedding, "));
  EXPECT_THAT(outcome.err, HasSubstr("more. Lower learning_rate"));
  EXPECT_THAT(outcome.out, HasSubstr("loss: nan"));
}

TEST(TrainStop, RunGoesOnWithoutALossWhenToldTo) {
  const Exploding model;
  Words keys = model.keys();
  keys.push_back("abort_on_nan_loss=false");
  TrainRun run(keys);
  std::vector<json> records = run.metrics();
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records[4]["learning/loss"], "NaN");
}

// The folder of the small model with one tensor changed by `change`.
void write_model(const TemporaryFolder& folder, const std::string& tensor, void (*change)(std::span<float>)) {
  const std::string from = "tests/data/deepseek_v3/hf";
  TensorFolder model = TensorFolder::open(from);
  std::map<std::string, HostArray> tensors;
  for (const std::string& name : model.names()) tensors[name] = convert(model.tensor(name), DType::kF32);
  HostArray& chosen = tensors.at(tensor);
  HostArray changed = HostArray::allocate(DType::kF32, chosen.sizes());
  std::span<float> values = changed.mutable_view<float>();
  std::copy_n(chosen.view<float>().data(), values.size(), values.data());
  change(values);
  chosen = changed;
  write_safetensors(folder / "model.safetensors", tensors);
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    std::filesystem::copy_file(from + "/" + name, folder / name);
  }
}

TEST(TrainStop, WeightsThatOverflowAreToldFromParametersThatExploded) {
  TemporaryFolder model, output;
  write_model(model, "model.layers.1.mlp.shared_experts.down_proj.weight", [](std::span<float> values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 3e38F : -3e38F;
  });
  Outcome outcome = train(keys_with({"load_parameters_path=" + model.path()}, output.path()));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("step 0: the loss is nan"));
  EXPECT_THAT(outcome.err, HasSubstr("all parameters were finite before this step; gradients that are not: "));
}

TEST(TrainStop, WeightsThatAreNotFiniteAreRefusedByName) {
  TemporaryFolder model, output;
  write_model(model, "model.layers.1.mlp.gate.weight", [](std::span<float> values) { values[7] = NAN; });
  Outcome outcome = train(keys_with({"load_parameters_path=" + model.path()}, output.path()));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("mlp.gate.weight"));
  EXPECT_THAT(outcome.err, HasSubstr("not finite"));
}

}  // namespace
}  // namespace fathom
