// Completions of a prompt between the steps.
#include <gmock/gmock.h>

#include <algorithm>

#include "base/file.h"
#include "base/one_line.h"
#include "tokenizer/tokenizer.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> samples(const Outcome& outcome) {
  std::vector<std::string> out;
  for (const std::string& line : outcome.lines()) {
    if (line.starts_with("sample at step ")) out.push_back(line);
  }
  return out;
}

// The reference's completions of 32 tokens, as lines of the first step, whose rate is 0.
std::vector<std::pair<std::string, std::string>> reference_samples() {
  const auto tokenizer = Tokenizer::load("tests/data/deepseek_v3/hf");
  std::vector<std::pair<std::string, std::string>> out;
  for (const nlohmann::json& one : nlohmann::json::parse(read_file("tests/data/deepseek_v3/decode.json"))) {
    const auto prompt = one["prompt"].get<std::string>();
    std::vector<int32_t> tokens = one["tokens"];
    EXPECT_EQ(tokens.size(), 32u);
    EXPECT_EQ(std::ranges::count(tokens, tokenizer->eos_id().value()), 0);
    out.emplace_back(prompt,
                     fmt::format("sample at step 0: {} -> {}", prompt, on_one_line(tokenizer->decode(tokens, true))));
  }
  return out;
}

TEST(TrainSample, IsTheReferencesCompletion) {
  for (const auto& [prompt, line] : reference_samples()) {
    TrainRun run({"steps=1", "sample_prompt=" + prompt});
    EXPECT_THAT(samples(run.outcome()), ElementsAre(line)) << run.outcome().err;
  }
}

TEST(TrainSample, IsTheSameOnAnyMesh) {
  const auto [prompt, line] = reference_samples()[0];
  for (const Words& mesh :
       {Words{"ici_fsdp_parallelism=4"}, Words{"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
        Words{"ici_data_parallelism=2", "ici_expert_parallelism=2", "ici_fsdp_parallelism=1"},
        Words{"ici_context_parallelism=2", "ici_fsdp_parallelism=2", "attention=flash"}}) {
    Words keys = {"steps=1", "cpu_device_count=4", "per_device_batch_size=1", "sample_prompt=" + prompt};
    keys.insert(keys.end(), mesh.begin(), mesh.end());
    TrainRun run(keys);
    EXPECT_THAT(samples(run.outcome()), ElementsAre(line)) << mesh[0] << "\n" << run.outcome().err;
  }
}

TEST(TrainSample, FollowsEachEvaluationAndTheLastStepAndIsCompiledOnce) {
  TrainRun run({"hf_eval_files=tests/data/data/corpus.txt", "eval_per_device_batch_size=4", "eval_interval=2",
                "eval_steps=1", "learning_rate=1e-2", "sample_prompt=The "});
  const std::vector<std::string> lines = run.outcome().lines();
  ASSERT_EQ(lines.size(), 10u) << run.outcome().err;
  EXPECT_THAT(lines[2], HasSubstr("eval after train step 1,"));
  EXPECT_THAT(lines[3], StartsWith("sample at step 1: The  -> "));
  EXPECT_THAT(lines[6], HasSubstr("eval after train step 3,"));
  EXPECT_THAT(lines[7], StartsWith("sample at step 3: The  -> "));
  EXPECT_THAT(lines[8], HasSubstr("completed step: 4,"));
  EXPECT_THAT(lines[9], StartsWith("sample at step 4: The  -> "));
  EXPECT_NE(lines[3].substr(20), lines[9].substr(20)) << "not with the weights of the moment";
  const std::string& err = run.outcome().err;
  EXPECT_NE(err.find("decode_step: "), std::string::npos);
  EXPECT_EQ(err.find("decode_step: "), err.rfind("decode_step: "));
}

TEST(TrainSample, AfterAnEvaluationOfTheLastStepIsNotRepeated) {
  TrainRun run({"hf_eval_files=tests/data/data/corpus.txt", "eval_per_device_batch_size=4", "eval_interval=2",
                "eval_steps=1", "steps=2", "sample_prompt=The "});
  EXPECT_EQ(samples(run.outcome()).size(), 1u) << run.outcome().out;
}

TEST(TrainSample, StandsOnOneLineWhateverThePromptHolds) {
  TrainRun run({"steps=1", "sample_prompt=one: [two]\n\tthree\\"});
  ASSERT_EQ(run.outcome().lines().size(), 2u) << run.outcome().err;
  EXPECT_THAT(run.outcome().lines()[1], StartsWith("sample at step 0: one: [two]\\n\\tthree\\\\ -> "));
}

TEST(TrainSample, OfNoPromptCompilesNothing) {
  EXPECT_THAT(TrainRun({"steps=1"}).outcome().err, Not(HasSubstr("decode_step")));
}

TEST(TrainSample, PromptMayFillTheLengthAndNoMore) {
  // "The " is three tokens, with the begin of the sentence.
  TrainRun whole({"steps=1", "max_target_length=3", "sample_prompt=The "});
  EXPECT_EQ(samples(whole.outcome()).size(), 1u) << whole.outcome().err;
  TrainRun longer({"steps=1", "max_target_length=3", "sample_prompt=The function is there"});
  EXPECT_EQ(longer.outcome().exit_code, 2);
  EXPECT_THAT(longer.outcome().err,
              AllOf(HasSubstr("sample_prompt: has "), HasSubstr("but max_target_length is 3; give a shorter text"),
                    Not(HasSubstr("StableHLO"))));
}

TEST(TrainSample, WithoutATokenizerNamesTheKeys) {
  TrainRun synthetic({"dataset_type=synthetic", "sample_prompt=The "});
  EXPECT_EQ(synthetic.outcome().exit_code, 2);
  EXPECT_THAT(synthetic.outcome().err, AllOf(HasSubstr("sample_prompt"), HasSubstr("dataset_path"),
                                             HasSubstr("tokenizer_path"), Not(HasSubstr("StableHLO"))));
  EXPECT_THAT(synthetic.outcome().out, IsEmpty());
}

}  // namespace
}  // namespace fathom
