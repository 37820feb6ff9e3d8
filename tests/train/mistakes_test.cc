// What a user can get wrong: exit code 2, one clear message, nothing compiled and nothing left behind.
#include <gmock/gmock.h>

#include <filesystem>

#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The message of a run with `keys`; `without` are names of keys to leave out.
std::string refusal(const Words& keys, const Words& without = {}) {
  TemporaryFolder output;
  Words words = keys_with(keys, output.path());
  std::erase_if(words, [&](const std::string& word) {
    return std::any_of(without.begin(), without.end(), [&](const auto& name) { return word.starts_with(name + "="); });
  });
  Outcome outcome = train(words);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, AllOf(Not(HasSubstr("compiled in")), Not(HasSubstr("train_step: "))));
  EXPECT_TRUE(std::filesystem::is_empty(output.path())) << "a run folder is left behind";
  return outcome.err;
}

TEST(TrainMistakes, UnknownKeyIsToldItsNearest) {
  EXPECT_THAT(refusal({"learning_rat=1e-3"}), HasSubstr("unknown key 'learning_rat' (nearest: learning_rate"));
}

TEST(TrainMistakes, XlaFlagThatThereIsNotIsToldByItsKey) {
  EXPECT_THAT(refusal({"compile_xla_flags=--xla_no_such_flag=1"}),
              HasSubstr("compile_xla_flags: --xla_no_such_flag=1"));
}

TEST(TrainMistakes, BadTypeIsToldWhatTheKeyNeeds) {
  EXPECT_THAT(refusal({"steps=many"}), HasSubstr("steps needs an integer, got many"));
  EXPECT_THAT(refusal({"scan_layers=perhaps"}), HasSubstr("needs true or false"));
  EXPECT_THAT(refusal({"dtype=float12"}), HasSubstr("float32, bfloat16"));
}

TEST(TrainMistakes, AllMistakesAreToldTogether) {
  EXPECT_THAT(refusal({"steps=many", "learning_rat=1", "adam_b1=2"}),
              AllOf(HasSubstr("steps"), HasSubstr("learning_rat"), HasSubstr("adam_b1")));
}

TEST(TrainMistakes, BatchMustBeWholeRows) {
  EXPECT_THAT(refusal({"per_device_batch_size=0.3"}), HasSubstr("per_device_batch_size"));
  EXPECT_THAT(refusal({"per_device_batch_size=0"}), HasSubstr("per_device_batch_size=0: must be above 0"));
}

// Before anything is allocated, one line.
TEST(TrainMistakes, SizesBeyondAnyMachineAreTold) {
  Words synthetic = {"dataset_type=synthetic", "override_model_config=True", ""};
  for (const char* word :
       {"per_device_batch_size=13000000", "per_device_batch_size=2000000000", "gradient_accumulation_steps=2147483647",
        "vocab_size=2147483647", "base_emb_dim=2147483647", "base_num_query_heads=2147483647",
        "cpu_device_count=4294967296", "max_target_length=9223372036854775807", "ici_fsdp_parallelism=1048576",
        "init_weights_seed=9223372036854775808"}) {
    synthetic.back() = word;
    std::string said = refusal(synthetic);
    EXPECT_THAT(said, AllOf(Not(HasSubstr("bad_alloc")), Not(HasSubstr("internal fault")))) << word;
    std::string key = std::string(word).substr(0, std::string(word).find('='));
    EXPECT_THAT(said, testing::AnyOf(HasSubstr(key), HasSubstr("model_name="))) << word;
  }
}

// Found after the compilation, which alone knows it; the kernel would end the process without a word.
TEST(TrainMistakes, StepThatTakesMoreThanTheMachineHasIsToldInTime) {
  TemporaryFolder output;
  Outcome outcome = train(keys_with({"dataset_type=synthetic", "attention=dot_product", "per_device_batch_size=64",
                                     "max_target_length=16384", "steps=1"},
                                    output.path()));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("per_device_batch_size=64 max_target_length=16384: a step takes "),
                                 HasSubstr("take fewer or shorter rows")));
  EXPECT_TRUE(std::filesystem::is_empty(output.path())) << "a run folder is left behind";
}

TEST(TrainMistakes, DataSetMustBeNamedAndBeThere) {
  EXPECT_THAT(refusal({}, {"dataset_path"}), HasSubstr("no data set: give dataset_path="));
  EXPECT_THAT(refusal({"dataset_path=tests/data/nothing.txt"}), HasSubstr("tests/data/nothing.txt: no such file"));
  EXPECT_THAT(refusal({"dataset_path=tests/data/data/corpus.parquet", "train_data_columns=words"}),
              AllOf(HasSubstr("corpus.parquet"), HasSubstr("words")));
}

TEST(TrainMistakes, DataMustFillABatch) {
  TemporaryFolder folder;
  std::string path = folder.write("few.jsonl", "{\"text\": \"one\"}\n");
  EXPECT_THAT(refusal({"dataset_path=" + path}), HasSubstr("few.jsonl"));
  EXPECT_THAT(refusal({"eval_interval=1", "eval_steps=0"}), HasSubstr("eval_steps=0"));
}

TEST(TrainMistakes, BrokenRecordIsNamedByItsLine) {
  TemporaryFolder folder;
  std::string path = folder.write("broken.jsonl", "{\"text\": \"one\"}\n{\"text\": \n");
  EXPECT_THAT(refusal({"dataset_path=" + path, "enable_data_shuffling=false"}), HasSubstr("broken.jsonl:2"));
}

TEST(TrainMistakes, TokenizerMustBeThereAndFitTheModel) {
  EXPECT_THAT(refusal({"model_name=deepseek3-mini"}, {"load_parameters_path"}),
              HasSubstr("no tokenizer: give tokenizer_path="));
  EXPECT_THAT(refusal({"tokenizer_path=tests/data/nowhere"}), HasSubstr("tests/data/nowhere"));
  EXPECT_THAT(refusal({"model_name=deepseek3-mini", "tokenizer_path=tests/data/tokenizer", "override_model_config=True",
                       "vocab_size=300"},
                      {"load_parameters_path"}),
              AllOf(HasSubstr("tokenizer_path: tests/data/tokenizer has "), HasSubstr("but vocab_size is 300")));
}

TEST(TrainMistakes, OutputMustBeAPlaceToWriteIn) {
  TemporaryFolder folder;
  std::string file = folder.write("file", "");
  EXPECT_THAT(refusal({"base_output_directory=" + file}), HasSubstr("base_output_directory: " + file + " is a file"));
  EXPECT_THAT(refusal({"base_output_directory=gs://bucket/runs"}), HasSubstr("gs://bucket/runs"));
  EXPECT_THAT(refusal({"metrics_file=" + file + "/metrics.jsonl"}), HasSubstr("metrics_file: " + file + " is a file"));
}

TEST(TrainMistakes, PluginMustBeAFile) {
  EXPECT_THAT(refusal({"plugin=/nowhere/plugin.so"}), HasSubstr("plugin=/nowhere/plugin.so: there is no such file"));
}

TEST(TrainMistakes, WordsAndFlagsThatTrainDoesNotTake) {
  EXPECT_THAT(refusal({"stray"}), HasSubstr("'stray' is neither a .yml file nor key=value"));
  EXPECT_THAT(refusal({"--fast"}), HasSubstr("unknown flag --fast"));
}

TEST(TrainMistakes, WeightsThatDoNotFitAreListedTogether) {
  TemporaryFolder model;
  TensorFolder from = TensorFolder::open("tests/data/deepseek_v3/hf");
  std::map<std::string, HostArray> tensors;
  for (const std::string& name : from.names()) tensors[name] = from.tensor(name);
  tensors.erase("model.norm.weight");
  tensors["model.layers.0.mlp.up_proj.weight"] = tensors.at("model.layers.0.input_layernorm.weight");
  tensors["model.layers.1.stranger.weight"] = tensors.at("model.layers.0.input_layernorm.weight");
  write_safetensors(model / "model.safetensors", tensors);
  std::filesystem::copy_file("tests/data/deepseek_v3/hf/config.json", model / "config.json");
  std::string message = refusal({"load_parameters_path=" + model.path(), "tokenizer_path=tests/data/deepseek_v3/hf"});
  EXPECT_THAT(message, AllOf(HasSubstr("missing (1):\n    model.norm.weight"),
                             HasSubstr("extra (1):\n    model.layers.1.stranger.weight"),
                             HasSubstr("misshapen (1):\n    model.layers.0.mlp.up_proj.weight: [48] in the folder, "
                                       "[200, 48] in the model")));
}

TEST(TrainMistakes, WeightsMustBeThere) {
  TemporaryFolder folder;
  EXPECT_THAT(refusal({"model_name=deepseek3-mini", "load_parameters_path=" + folder.path(),
                       "tokenizer_path=tests/data/tokenizer"}),
              HasSubstr("model.safetensors"));
}

}  // namespace
}  // namespace fathom
