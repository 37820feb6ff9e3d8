// generate_hf_golden_logits: what the script is given, and what stands in for it where something is missing. Its
// numbers are compared in tests/campaigns/golden_logits.py, which needs torch.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "../support/process.h"
#include "base/file.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

const std::string kModel = "--model-id=tests/data/deepseek_v2/hf";

// With a Python that is a shell script of these lines.
Outcome golden(const Words& flags, const std::string& lines) {
  const TemporaryFolder folder;
  const std::string python = folder.write("python", "#!/bin/sh\n" + lines);
  std::filesystem::permissions(python, std::filesystem::perms::owner_all);
  ::setenv("PYTHON", python.c_str(), 1);
  Words words = {"generate_hf_golden_logits"};
  words.insert(words.end(), flags.begin(), flags.end());
  Outcome outcome = run(words);
  ::unsetenv("PYTHON");
  return outcome;
}

const std::string kPrintWords = "for word; do echo \"$word\"; done\n";
// Without any installed package.
const std::string kBarePython = "exec /usr/bin/python3 -I -S \"$@\"\n";

TEST(GenerateGoldenLogits, TheScriptBesideTheSourcesGetsThePagesFlags) {
  const TemporaryFolder folder;
  const std::string file = folder / "golden.jsonl";
  const Outcome o = golden({kModel, "--output-path=" + file, "--prompts=I love to;Today is a"}, kPrintWords);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const std::string script = o.out.substr(0, o.out.find('\n'));
  EXPECT_THAT(script, EndsWith("/tools/generate_hf_golden_logits.py"));
  EXPECT_TRUE(std::filesystem::is_regular_file(script));
  EXPECT_EQ(o.out.substr(script.size()), "\n" + kModel + "\n--output-path=" + file +
                                             "\n--prompts=I love to;Today is a\n--hf-load-dtype=float32\n"
                                             "--output-format=json\n");
  const Outcome all = golden(
      {kModel, "--output_path", file, "--prompts=a", "--hf-model-path=tests/data/deepseek_v3/hf",
       "--hf-load-dtype=bfloat16", "--trust-remote-code=true", "--apply-chat-template", "--output-format=pickle"},
      kPrintWords);
  EXPECT_THAT(all.out, EndsWith("--hf-model-path=tests/data/deepseek_v3/hf\n--output-path=" + file +
                                "\n--prompts=a\n--hf-load-dtype=bfloat16\n--output-format=pickle\n"
                                "--trust-remote-code\n--apply-chat-template\n"));
}

TEST(GenerateGoldenLogits, TheScriptsExitCodeAndEndAreTheCommands) {
  EXPECT_EQ(golden({kModel, "--output-path=/tmp/x", "--prompts=a"}, "exit 7\n").exit_code, 7);
  EXPECT_EQ(golden({kModel, "--output-path=/tmp/x", "--prompts=a"}, "kill -9 $$\n").exit_code, 128 + 9);
}

TEST(GenerateGoldenLogits, WithoutTorchItEndsWithTheLineThatInstallsIt) {
  const TemporaryFolder folder;
  const Outcome o = golden({kModel, "--output-path=" + folder / "g.jsonl", "--prompts=a"}, kBarePython);
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_THAT(o.err, AllOf(HasSubstr("torch"), EndsWith("/python3 -m pip install torch transformers\n")));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing is left half-written";
}

TEST(GenerateGoldenLogits, MistakesAreSaidBeforePythonStarts) {
  const std::string output = "--output-path=/tmp/x", prompts = "--prompts=a";
  auto refusal = [](const Words& words) {
    const Outcome o = golden(words, "echo started\n");
    EXPECT_EQ(o.exit_code, 2) << o.out;
    EXPECT_EQ(o.out, "");
    return o.err;
  };
  EXPECT_THAT(refusal({output, prompts}), HasSubstr("--model_id is missing"));
  EXPECT_THAT(refusal({kModel, prompts}), HasSubstr("--output_path is missing"));
  EXPECT_THAT(refusal({kModel, output}), HasSubstr("--prompts is missing: 'I love to;Today is a"));
  EXPECT_THAT(refusal({"--model-id=tests/nowhere/at/all", output, prompts}), HasSubstr("no such file or folder"));
  EXPECT_THAT(refusal({"--model-id=deepseek-ai/DeepSeek-V9", output, prompts}),
              HasSubstr("hf download deepseek-ai/DeepSeek-V9"));
  EXPECT_THAT(refusal({kModel, "--output-path=tests", prompts}), HasSubstr("--output-path: "));
  EXPECT_THAT(refusal({kModel, output, prompts, "--hf-load-dtype=int8"}), HasSubstr("one of float32, bfloat16, auto"));
  EXPECT_THAT(refusal({kModel, output, prompts, "steps=3"}), HasSubstr("'steps=3': it takes flags alone"));
}

TEST(GenerateGoldenLogits, APythonThatIsNotThereIsSaid) {
  ::setenv("PYTHON", "/nowhere/python", 1);
  Process process({"generate_hf_golden_logits", kModel, "--output-path=/tmp/x", "--prompts=a"});
  EXPECT_EQ(process.wait(), 2);
  ::unsetenv("PYTHON");
  EXPECT_THAT(process.err(), HasSubstr("/nowhere/python cannot be started: set PYTHON"));
}

// --run_hf_model makes the golden file first, and its failure is the command's.
TEST(Checker, RunsHuggingFacesModelWhereThatIsAsked) {
  const TemporaryFolder folder;
  const std::string hf = "tests/data/deepseek_v2/hf", file = folder / "g.jsonl";
  const std::string python =
      folder.write("python", "#!/bin/sh\ncp tests/data/deepseek_v2/golden_logits.jsonl \"$GOLDEN\"\n");
  std::filesystem::permissions(python, std::filesystem::perms::owner_all);
  ::setenv("PYTHON", python.c_str(), 1);
  ::setenv("GOLDEN", file.c_str(), 1);
  const Words words = {"forward_pass_logit_checker", "model_name=auto",   "load_parameters_path=" + hf,
                       "max_target_length=32",       "dtype=float32",     "--run_hf_model=true",
                       "--hf_model_path=" + hf,      "--max_kl_div=2e-4", "--golden_logits_path=" + file};
  Process process(words);
  EXPECT_EQ(process.wait(), 0) << process.err();
  EXPECT_THAT(process.out(), EndsWith("PASS\n"));
  folder.write("python", "#!/bin/sh\nexit 2\n");
  Process failed(words);
  EXPECT_EQ(failed.wait(), 2);
  EXPECT_EQ(failed.out(), "");
  ::unsetenv("PYTHON");
  ::unsetenv("GOLDEN");
}

}  // namespace
}  // namespace fathom
