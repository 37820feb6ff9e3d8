// A checkpoint against golden logits: what passes, what fails, and what is a mistake.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "../support/process.h"
#include "base/file.h"
#include "eval/logit_check.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;

const std::string kV2 = "tests/data/deepseek_v2";

// The checker on a model with the golden logits of tests/data, in float32.
Outcome check(const std::string& weights, const std::string& golden, const Words& more) {
  Words words = {"forward_pass_logit_checker",    "model_name=auto", "load_parameters_path=" + weights,
                 "max_target_length=32",          "dtype=float32",   "matmul_precision=highest",
                 "--golden_logits_path=" + golden};
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

std::string golden_of(const std::string& folder) { return folder + "/golden_logits.jsonl"; }

void expect_pass(const Outcome& outcome, int prompts) {
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, EndsWith("\nPASS\n"));
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), prompts + 1) << outcome.out;
  EXPECT_THAT(outcome.out, testing::StartsWith("prompt 0: tokens "));
  EXPECT_THAT(outcome.out, HasSubstr(", top10 10/10\n"));
}

// The page's command; the model's name is that of the small one, the length that of its prompts.
TEST(Checker, ThePagesCommandPassesOnTheUnscannedCheckpointThatWasConverted) {
  const TemporaryFolder out;
  const Outcome converted =
      run({"to_maxtext", "model_name=auto", "scan_layers=false", "base_output_directory=" + out / "unscanned",
           "--hf_model_path=" + kV2 + "/hf", "--save_dtype=float32"});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  const Words page = {"tests.utils.forward_pass_logit_checker",
                      "src/maxtext/configs/base.yml",
                      "base_output_directory=" + out / "run",
                      "run_name=forward_pass_test",
                      "model_name=auto",
                      "tokenizer_type=huggingface",
                      "tokenizer_path=deepseek-ai/DeepSeek-V2-Lite",
                      "load_parameters_path=" + out / "unscanned/0/items",
                      "scan_layers=false",
                      "per_device_batch_size=1",
                      "max_prefill_predict_length=4",
                      "max_target_length=32",
                      "sparse_matmul=False",
                      "dtype=float32",
                      "activations_in_float32=true",
                      "matmul_precision=high",
                      "--max_kl_div=2e-4",
                      "--golden_logits_path=" + golden_of(kV2)};
  expect_pass(run(page), 5);
  EXPECT_FALSE(std::filesystem::exists(out / "run")) << "nothing is written";
}

TEST(Checker, TakesScannedCheckpointsFloat8FoldersAndMeshes) {
  const TemporaryFolder out;
  const Outcome converted = run({"to_maxtext", "model_name=auto", "scan_layers=true", "--save_dtype=float32",
                                 "base_output_directory=" + out / "scanned", "--hf_model_path=" + kV2 + "/hf"});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  expect_pass(check(out / "scanned/0/items", golden_of(kV2), {"--max_kl_div=1e-8", "--atol=5e-5"}), 5);
  const Words mesh = {"cpu_device_count=4", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2", "--atol", "5e-5"};
  expect_pass(check(kV2 + "/hf", golden_of(kV2), mesh), 5);

  const std::string v3 = "tests/data/deepseek_v3";
  const LogitsReference fp8 = read_single_logits(v3 + "/logits_fp8.safetensors");
  const std::string golden = out.write("fp8.jsonl", golden_line("", fp8.row.tokens, fp8.logits));
  const Outcome outcome = check(v3 + "/hf_fp8", golden, {"--atol=5e-5", "--max_kl_div=1e-8", "max_target_length=64"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, EndsWith("top10 10/10\nPASS\n"));
}

// The golden file with one change.
std::string changed(const TemporaryFolder& folder, const std::function<void(std::vector<json>&)>& change) {
  std::vector<json> lines;
  std::istringstream in(read_file(golden_of(kV2)));
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  change(lines);
  std::string text;
  for (const json& line : lines) text += line.dump() + "\n";
  return folder.write("golden.jsonl", text);
}

TEST(Checker, OneLogitThatIsAFifthLargerFailsWithItsPlace) {
  const TemporaryFolder folder;
  const std::string golden = changed(folder, [](std::vector<json>& lines) {
    json& token = lines[2]["logits"][3];
    auto largest = std::max_element(token.begin(), token.end());
    *largest = largest->get<double>() * 1.2;
  });
  const Outcome kl = check(kV2 + "/hf", golden, {"--max_kl_div=2e-4"});
  EXPECT_EQ(kl.exit_code, 1);
  EXPECT_THAT(kl.out, ContainsRegex("\nFAIL: max KL [0-9.]+ at prompt 2, token 3\n$"));
  const Outcome atol = check(kV2 + "/hf", golden, {"--atol=5e-5", "--rtol=1e-4"});
  EXPECT_EQ(atol.exit_code, 1);
  EXPECT_THAT(atol.out, ContainsRegex("\nFAIL: a logit [0-9.]+ beyond .* at prompt 2, token 3\n$"));
  expect_pass(check(kV2 + "/hf", golden, {"--max_kl_div=2e-4", "--token_size=3"}), 5);
}

// Room for 19 tokens is what an expert keeps of a row of 19, not of a row of 512.
TEST(Checker, ExpertsThatDropTokensSeeRowsOfTheConfiguredLength) {
  const Words dropping = {"--max_kl_div=1e-6", "sparse_matmul=False", "capacity_factor=1.0"};
  auto at_length = [&](const char* length) {
    Words words = dropping;
    words.emplace_back(length);
    return check(kV2 + "/hf", golden_of(kV2), words);
  };
  expect_pass(at_length("max_target_length=512"), 5);
  EXPECT_EQ(at_length("max_target_length=19").exit_code, 1);
}

TEST(Checker, NaNFails) {
  const TemporaryFolder folder;
  std::string text = read_file(golden_of(kV2));
  const size_t first = text.find("[[") + 2;
  text.replace(first, text.find(',', first) - first, "NaN");
  const std::string golden = folder.write("nan.jsonl", text);
  const Outcome outcome = check(kV2 + "/hf", golden, {"--max_kl_div=1000", "--atol=1000"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("max_kl nan"), HasSubstr("FAIL: max KL nan at prompt 0, token 0")));
}

TEST(Checker, TheModelsLogitsAreWrittenAsAGoldenFile) {
  const TemporaryFolder folder;
  const std::string written = folder / "ours.jsonl";
  expect_pass(check(kV2 + "/hf", golden_of(kV2), {"--atol=5e-5", "--output_logits_path=" + written}), 5);
  expect_pass(check(kV2 + "/hf", written, {"--atol=0", "--rtol=0"}), 5);
  const auto ours = read_golden_logits(written, "ours"), golden = read_golden_logits(golden_of(kV2), "golden");
  ASSERT_EQ(ours.size(), golden.size());
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_EQ(ours[i].prompt, golden[i].prompt);
}

TEST(Checker, EachMistakeIsOneErrorThatNamesItsPlaceBeforeAnythingIsCompiled) {
  const TemporaryFolder folder;
  const std::string golden = golden_of(kV2), hf = kV2 + "/hf";
  const std::string broken = folder.write("broken.jsonl", R"({"tokens": [1], "logits": [[1, 2]]})"
                                                          "\n{\"tok");
  const std::string narrow = folder.write("narrow.jsonl", R"({"tokens": [1], "logits": [[1, 2]]})"
                                                          "\n");
  const std::string outside = changed(folder, [](std::vector<json>& lines) { lines[1]["tokens"][0] = 1792; });
  const Words kl = {"--max_kl_div=1"};
  auto with = [&](Words more) {
    more.insert(more.begin(), kl.begin(), kl.end());
    return more;
  };
  auto expect_mistake = [&](const Outcome& o, const std::string& said) {
    EXPECT_EQ(o.exit_code, 2) << said;
    EXPECT_EQ(o.out, "") << said;
    EXPECT_THAT(o.err, HasSubstr(said));
    EXPECT_THAT(o.err, testing::Not(HasSubstr("StableHLO"))) << said;
  };
  expect_mistake(check(hf, golden, {}), "at least one of --max_kl_div and --atol");
  expect_mistake(check(hf, folder / "none.jsonl", kl), folder / "none.jsonl: ");
  expect_mistake(check(hf, broken, kl), broken + ": line 2: ");
  expect_mistake(check(hf, narrow, kl), narrow + ":1: 2 logits a token, but the model has a vocabulary of 1792");
  expect_mistake(check(hf, outside, kl), outside + ":2: token 1792 is outside of the vocabulary of 1792");
  expect_mistake(check(hf, golden, with({"max_target_length=4"})),
                 golden + ":1: a prompt of 5 tokens is longer than max_target_length=4");
  expect_mistake(check(hf, golden, {"--max_kl_div=much"}), "--max_kl_div=much: must be a number");
  expect_mistake(check(hf, golden, with({"--ckpt_type=flax"})), "--ckpt_type=flax: linen or nnx");
  expect_mistake(check(hf, golden, with({"--clip_logits_epsilon=1"})), "--clip_logits_epsilon=1: a probability");
  expect_mistake(check(hf, golden, with({"--output_logits_path=" + folder.path()})), "--output_logits_path: ");
  expect_mistake(run({"forward_pass_logit_checker", "model_name=deepseek3-tiny", "--max_kl_div=1"}),
                 "load_parameters_path is missing");
}

}  // namespace
}  // namespace fathom
