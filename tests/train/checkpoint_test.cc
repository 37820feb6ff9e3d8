// A run that is ended and begun again goes on as if nothing had happened.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "checkpoint/step_writer.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The numbers of training of each step: what the machine's speed has no part in.
std::vector<json> learned_in(const std::string& run) {
  std::vector<json> out;
  for (json& record : read_records(run + "/metrics.jsonl")) {
    json& kept = out.emplace_back(json::object());
    for (auto& [name, value] : record.items()) {
      if (!name.starts_with("perf/") && !name.ends_with("_seconds")) kept[name] = value;
    }
  }
  return out;
}

// A folder in which the same command is given again and again.
class SavedRun {
 public:
  explicit SavedRun(Words keys) : keys_(std::move(keys)) {
    keys_.insert(keys_.begin(), {"enable_checkpointing=true", "checkpoint_period=5"});
  }

  Outcome start(const Words& more = {}) const { return train(all(more)); }
  // Ends it by a signal when so many steps are printed; gives the exit code.
  int end_after(int64_t lines, int signal) const {
    Process process(words());
    process.wait_for_lines(lines);
    process.send(signal);
    return process.wait();
  }
  // Kills it when the checkpoint of a step is whole.
  int kill_with(int64_t step) const {
    Process process(words());
    while (process.running() && !std::filesystem::exists(checkpoint(step))) std::this_thread::yield();
    process.send(SIGKILL);
    return process.wait();
  }

  std::string folder() const { return output_ / "run"; }
  std::string checkpoint(int64_t step) const { return folder() + "/checkpoints/" + std::to_string(step); }
  std::vector<int64_t> saved() const { return whole_steps(folder() + "/checkpoints"); }
  std::vector<json> learned() const { return learned_in(folder()); }
  std::vector<double> losses() const {
    std::vector<double> out;
    for (const json& record : learned()) out.push_back(record.at("learning/loss"));
    return out;
  }

 private:
  Words words() const {
    Words out = {"train", "configs/base.yml"};
    for (const std::string& key : all({})) out.push_back(key);
    return out;
  }
  Words all(Words more) const {
    more.insert(more.begin(), keys_.begin(), keys_.end());
    return keys_with(more, output_.path());
  }

  TemporaryFolder output_;
  Words keys_;
};

// Killed three times on its way.
void expect_goes_on_exactly(const Words& keys) {
  const SavedRun undisturbed(keys), killed(keys);
  ASSERT_EQ(undisturbed.start().exit_code, 0);
  for (int64_t step : {0, 5, 10}) EXPECT_EQ(killed.kill_with(step), 1000 + SIGKILL);
  const Outcome last = killed.start();
  EXPECT_EQ(last.exit_code, 0) << last.err;
  EXPECT_THAT(last.err, HasSubstr("going on after step"));
  EXPECT_EQ(killed.learned(), undisturbed.learned());
}

// 37 documents of up to 160 tokens: four rows are full after about 20 of them, so that 20 steps are several epochs.
std::string few_documents(const TemporaryFolder& folder, const std::string& name) {
  const std::vector<json> all = read_records("tests/data/data/corpus.jsonl");
  std::string text;
  for (size_t i = 0; i < 37; ++i) text += all.at(i).dump() + "\n";
  return folder.write(name, text);
}

TEST(Checkpoints, KilledRunOfTextGoesOnExactly) {
  expect_goes_on_exactly({"steps=20", "learning_rate_schedule_steps=20"});
}

TEST(Checkpoints, KilledRunGoesOnExactlyThroughEpochsAndEvaluations) {
  TemporaryFolder folder;
  const std::string data = few_documents(folder, "few.jsonl");
  expect_goes_on_exactly(
      {"steps=20", "dataset_path=" + data, "num_epoch=20", "eval_interval=4", "eval_steps=2", "hf_eval_files=" + data});
}

TEST(Checkpoints, KilledRunOfParquetWithMicroBatchesGoesOnExactly) {
  expect_goes_on_exactly({"steps=20", "dataset_path=tests/data/data/corpus.parquet", "gradient_accumulation_steps=2",
                          "per_device_batch_size=2", "async_checkpointing=false", "scan_layers=false"});
}

TEST(Checkpoints, RunThatASignalEndsIsSavedAfterItsLastStep) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    const SavedRun run({"steps=1000000", "dataset_type=synthetic", "checkpoint_period=1000000"});
    EXPECT_EQ(run.end_after(3, signal), 128 + signal);
    const std::vector<json> done = run.learned();
    EXPECT_THAT(run.saved(), ElementsAre(0, std::ssize(done) - 1));
    EXPECT_EQ(run.end_after(2, signal), 128 + signal);
    EXPECT_GT(run.learned().size(), done.size());
    for (size_t i = 0; i < run.learned().size(); ++i) EXPECT_EQ(run.learned()[i].at("step"), i);
  }
}

TEST(Checkpoints, FinishedRunSaysSoAndALargerNumberOfStepsExtendsIt) {
  const SavedRun run({"learning_rate_schedule_steps=12"});
  ASSERT_EQ(run.start({"steps=4"}).exit_code, 0);
  const std::vector<json> before = run.learned();
  const Outcome again = run.start({"steps=4"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, "");
  EXPECT_THAT(again.err, AllOf(HasSubstr("nothing is left to do"), HasSubstr("load_parameters_path is not read"),
                               Not(HasSubstr("train_step"))));
  EXPECT_EQ(run.learned(), before);

  EXPECT_EQ(run.start({"steps=7"}).exit_code, 0);
  const SavedRun whole({"learning_rate_schedule_steps=12"});
  ASSERT_EQ(whole.start({"steps=7"}).exit_code, 0);
  EXPECT_EQ(run.learned(), whole.learned());
}

TEST(Checkpoints, OnlyTheNewestAreKeptAndNoneAreWrittenUnasked) {
  const SavedRun run({"steps=12", "max_num_checkpoints_to_keep=2"});
  ASSERT_EQ(run.start().exit_code, 0);
  EXPECT_THAT(run.saved(), ElementsAre(10, 11));

  const SavedRun sparing({"steps=7", "save_checkpoint_on_start=false", "save_checkpoint_on_completion=false"});
  ASSERT_EQ(sparing.start().exit_code, 0);
  EXPECT_THAT(sparing.saved(), ElementsAre(5));

  const SavedRun none({"steps=2", "enable_checkpointing=false"});
  ASSERT_EQ(none.start().exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(none.folder() + "/checkpoints"));
}

TEST(Checkpoints, RunKilledBeforeItsFirstCheckpointBeginsAgain) {
  const Words keys = {"steps=9", "save_checkpoint_on_start=false", "checkpoint_period=8"};
  const SavedRun run(keys), undisturbed(keys);
  ASSERT_EQ(undisturbed.start().exit_code, 0);
  ASSERT_EQ(run.end_after(3, SIGKILL), 1000 + SIGKILL);
  EXPECT_THAT(run.saved(), ElementsAre());
  const Outcome other = run.start({"learning_rate=1e-2"});
  EXPECT_EQ(other.exit_code, 2) << "metrics of another configuration are dropped unasked";
  const Outcome again = run.start();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("begins again"));
  EXPECT_EQ(run.learned(), undisturbed.learned());
}

TEST(Checkpoints, CarryWhatOtherCommandsNeed) {
  const SavedRun run({"steps=3"});
  ASSERT_EQ(run.start().exit_code, 0);
  TemporaryFolder output;
  const std::string from = "load_parameters_path=" + run.checkpoint(2);
  for (const std::string& path : {from, from + "/items"}) {
    const Outcome fresh = train(keys_with({path, "steps=1"}, output / "of_checkpoint"));
    EXPECT_EQ(fresh.exit_code, 0) << fresh.err;
    std::filesystem::remove_all(output / "of_checkpoint");
  }
  Process convert({"to_huggingface", "model_name=auto", from + "/items", "base_output_directory=" + (output / "hf")});
  ASSERT_EQ(convert.wait(), 0) << convert.err();
  const Outcome of_hf = train(keys_with({"load_parameters_path=" + (output / "hf"), "steps=1"}, output / "a"));
  const Outcome of_items = train(keys_with({from, "steps=1"}, output / "b"));
  ASSERT_EQ(of_hf.exit_code, 0) << of_hf.err;
  EXPECT_EQ(read_records(output / "a/run/metrics.jsonl")[0]["learning/loss"],
            read_records(output / "b/run/metrics.jsonl")[0]["learning/loss"]);
}

// As `hf download NAME --include "tokenizer*"` leaves one.
TEST(Checkpoints, CarryATokenizerFromAFolderWithoutConfigJsonAndNothingOfAnother) {
  TemporaryFolder tokenizer;
  tokenizer.write("tokenizer.json", read_file("tests/data/tokenizer/tokenizer.json") + "\n");
  tokenizer.write("notes.txt", "not a tokenizer's");
  for (const std::string& path : {tokenizer.path(), tokenizer / "tokenizer.json"}) {
    const SavedRun run({"steps=1", "tokenizer_path=" + path});
    const Outcome outcome = run.start();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(read_file(run.checkpoint(0) + "/tokenizer.json"), read_file(tokenizer / "tokenizer.json"));
    EXPECT_FALSE(std::filesystem::exists(run.checkpoint(0) + "/notes.txt"));
    EXPECT_FALSE(std::filesystem::exists(run.checkpoint(0) + "/tokenizer_config.json"))
        << "that of the weights' folder, which belongs to another tokenizer.json";
  }
}

// Commands of MaxText's page "Run DeepSeek", on a small model and two devices: general fine-tuning, and fine-tuning
// with multi-token prediction.
Words fine_tuning() {
  return {"run_name=matmul_fine_tuning",
          "steps=5",
          "max_target_length=1024",
          "async_checkpointing=false",
          "dtype=bfloat16",
          "weight_dtype=bfloat16",
          "megablox=False",
          "sparse_matmul=False",
          "enable_checkpointing=true",
          "ici_expert_parallelism=2",
          "ici_fsdp_parallelism=1"};
}
Words prediction() {
  return {"run_name=deepseek_mtp_finetuning",
          "steps=5",
          "max_target_length=256",
          "ici_fsdp_parallelism=2",
          "mtp_num_layers=1",
          "mtp_loss_scaling_factor=0.1",
          "checkpoint_period=2"};
}

Words command_of_the_page(const Words& own, const std::string& output, const std::string& weights) {
  Words out = {"train", "src/maxtext/configs/base.yml", "base_output_directory=" + output,
               "dataset_path=tests/data/tfds", "load_parameters_path=" + weights, "per_device_batch_size=1",
               "model_name=auto", "tokenizer_type=huggingface", "tokenizer_path=tests/data/deepseek_v3/hf",
               "attention=flash",
               // What the machine of the tests needs beside it.
               "hardware=cpu", "cpu_device_count=2", "jax_cache_dir=" + compile_cache()};
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

class CommandOfThePage : public testing::TestWithParam<Words> {};

TEST_P(CommandOfThePage, GoesOnAfterAKill) {
  TemporaryFolder folder;
  Process convert({"to_maxtext", "src/maxtext/configs/base.yml", "model_name=auto", "scan_layers=true",
                   "attention=dot_product", "base_output_directory=" + (folder / "scanned"), "hardware=cpu",
                   "skip_jax_distributed_system=True", "--hf_model_path=tests/data/deepseek_v3/hf",
                   "--eager_load_method=safetensors", "--save_dtype=bfloat16"});
  ASSERT_EQ(convert.wait(), 0) << convert.err();
  const std::string weights = folder / "scanned/0/items";
  const std::string name = "/" + GetParam()[0].substr(GetParam()[0].find('=') + 1);
  Process undisturbed(command_of_the_page(GetParam(), folder / "a", weights));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  {
    Process killed(command_of_the_page(GetParam(), folder / "b", weights));
    while (killed.running() && !std::filesystem::exists(folder / ("b" + name + "/checkpoints/0"))) {
      std::this_thread::yield();
    }
    killed.send(SIGKILL);
    killed.wait();
  }
  Process again(command_of_the_page(GetParam(), folder / "b", weights));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_THAT(again.err(), HasSubstr("going on after step"));
  EXPECT_EQ(learned_in(folder / ("b" + name)), learned_in(folder / ("a" + name)));
}

INSTANTIATE_TEST_SUITE_P(Page, CommandOfThePage, testing::Values(fine_tuning(), prediction()), [](const auto& tested) {
  return tested.index == 0 ? std::string("FineTuning") : std::string("MultiTokenPrediction");
});

TEST(Checkpoints, GoOnOnOtherMeshesAndInOtherLayers) {
  const Words one = {"cpu_device_count=1", "per_device_batch_size=4"};
  const std::vector<Words> others = {
      {"cpu_device_count=4", "per_device_batch_size=1", "ici_fsdp_parallelism=4"},
      {"cpu_device_count=4", "per_device_batch_size=1", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"},
      {"cpu_device_count=1", "per_device_batch_size=4", "scan_layers=false"},
      one};
  const SavedRun usual({"learning_rate_schedule_steps=12"}), moved({"learning_rate_schedule_steps=12"});
  Words first = one;
  first.push_back("steps=10");
  ASSERT_EQ(usual.start(first).exit_code, 0);
  int64_t steps = 0;
  for (const Words& other : others) {
    Words keys = other;
    keys.push_back("steps=" + std::to_string(steps += 2));
    const Outcome part = moved.start(keys);
    ASSERT_EQ(part.exit_code, 0) << part.err;
  }
  first.back() = "steps=10";
  ASSERT_EQ(moved.start(first).exit_code, 0);
  EXPECT_TRUE(near(moved.losses(), usual.losses(), 1e-5));
}

}  // namespace
}  // namespace fathom
