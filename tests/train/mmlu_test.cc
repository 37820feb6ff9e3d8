// The command `mmlu` as a user gives it.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

const std::string kModel = "tests/data/deepseek_v3/hf";
const std::string kReferences = "tests/data/deepseek_v3/mmlu_scores.jsonl";

Outcome mmlu(const Words& words) {
  Words all = {"mmlu",
               "configs/base.yml",
               "hardware=cpu",
               "jax_cache_dir=" + compile_cache(),
               "model_name=auto",
               "dtype=float32",
               "weight_dtype=float32",
               "matmul_precision=highest",
               "mmlu_path=tests/data/mmlu/mmlu.jsonl"};
  all.insert(all.end(), words.begin(), words.end());
  return run(all);
}

// Hugging Face's scores: of all questions without solved ones before, of the first 15 with five.
void expect_references(const std::vector<json>& got, int64_t shots) {
  size_t compared = 0;
  for (const json& want : read_records(kReferences)) {
    if (want["shots"] != shots) continue;
    const json& own = got.at(want["index"].get<size_t>());
    for (const char* key : {"subject", "index", "shots", "choice", "answer"}) EXPECT_EQ(own[key], want[key]);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(own["logprobs"][i].get<double>(), want["logprobs"][i].get<double>(), 1e-4);
    }
    ++compared;
  }
  EXPECT_GE(compared, 15u);
}

TEST(Mmlu, GivesTheReferencesScoresAndGoesOnWhereItEnded) {
  TemporaryFolder folder;
  const std::string output = folder / "scores.jsonl";
  const Words words = {"load_parameters_path=" + kModel, "--output=" + output};
  const Outcome whole = mmlu(words);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  expect_references(read_records(output), 0);
  EXPECT_THAT(whole.out, HasSubstr("geography: "));
  EXPECT_THAT(whole.out, HasSubstr("STEM: "));
  EXPECT_THAT(whole.lines().back(), AllOf(testing::StartsWith("accuracy: "), EndsWith("(50 questions)")));

  const std::string scores = read_file(output);
  write_file_atomically(output, scores.substr(0, scores.size() / 2));
  const Outcome rest = mmlu(words);
  EXPECT_EQ(rest.out, whole.out) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("of 50 questions scored in "));
  EXPECT_EQ(read_file(output), scores);

  const Outcome other = mmlu({"load_parameters_path=tests/data/deepseek_v2/hf", "--output=" + output});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("score of another model"));
  for (const char* key : {"dtype=bfloat16", "add_bos=false"}) {
    const Outcome changed = mmlu({words[0], words[1], key});
    EXPECT_EQ(changed.exit_code, 2) << key;
    EXPECT_THAT(changed.err, HasSubstr("another prompt, or the model has other keys")) << key;
  }
  EXPECT_EQ(read_file(output), scores);
}

TEST(Mmlu, OfOtherWeightsInTheSameFolderIsRefused) {
  TemporaryFolder folder;
  const std::string model = folder / "model", weights = model + "/model.safetensors", output = folder / "scores.jsonl";
  std::filesystem::copy(kModel, model);
  const Words words = {"load_parameters_path=" + model, "--output=" + output};
  ASSERT_EQ(mmlu(words).exit_code, 0);
  const std::string scores = read_file(output);
  EXPECT_EQ(mmlu(words).exit_code, 0);
  change_weights(weights);
  const Outcome other = mmlu(words);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err,
              AllOf(HasSubstr("line 1: is a score of other weights"), HasSubstr("give --output another name")));
  EXPECT_EQ(read_file(output), scores);
}

TEST(Mmlu, OnAMeshAndFromAnOrbaxFolderWithFiveShotsIsTheSame) {
  TemporaryFolder folder;
  const Outcome converted = run({"to_maxtext", "configs/base.yml", "model_name=auto", "--save_dtype=float32",
                                 "--hf_model_path=" + kModel, "base_output_directory=" + (folder / "orbax")});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  const std::string output = folder / "scores.jsonl";
  const Outcome got =
      mmlu({"load_parameters_path=" + (folder / "orbax/0/items"), "num_shots=5", "cpu_device_count=4",
            "ici_fsdp_parallelism=2", "ici_expert_parallelism=2", "mmlu_path=tests/data/mmlu", "--output=" + output});
  ASSERT_EQ(got.exit_code, 0) << got.err;
  const std::vector<json> scores = read_records(output);
  expect_references(scores, 5);
  // The set has three questions about biology.
  EXPECT_THAT(got.err, HasSubstr("num_shots=5: 1 subject has fewer solved questions than that in front: biology 2"));
  for (const json& score : scores) EXPECT_EQ(score["examples"], score["subject"] == "biology" ? 2 : 5);
}

TEST(Mmlu, AMistakeIsSaidBeforeAnythingIsCompiled) {
  const std::string weights = "load_parameters_path=" + kModel;
  auto says = [&](const Words& words) {
    const Outcome got = mmlu(words);
    EXPECT_EQ(got.exit_code, 2);
    EXPECT_THAT(got.err, testing::Not(HasSubstr("compil")));
    return got.err;
  };
  EXPECT_THAT(says({weights, "num_shots=5", "max_target_length=128"}),
              HasSubstr("max_target_length=128: 50 of 50 prompts are longer; give 339 or more"));
  EXPECT_THAT(says({weights, "mmlu_path=cais/mmlu"}), HasSubstr("hf download cais/mmlu --repo-type dataset"));
  EXPECT_THAT(says({weights, "mmlu_path="}), HasSubstr("mmlu_path is missing"));
  EXPECT_THAT(says({weights, "num_shots=6"}), HasSubstr("num_shots"));
}

}  // namespace
}  // namespace fathom
