#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "cli/commands.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kInput = "tests/data/deepseek_v3/hf_fp8";

std::string refusal(const std::vector<std::string>& args) {
  try {
    run_command(args, {});
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

// The commands of MaxText's pages: both scripts, dashes and underscores, "=" and a space.
TEST(Dequantize, EveryWayToWriteTheCommandConverts) {
  const std::vector<std::vector<std::string>> lines = {
      {"deepseek_fp8_to_bf16", "--input-fp8-hf-path=" + kInput, "--output-bf16-hf-path=OUT"},
      {"maxtext.checkpoint_conversion.standalone_scripts.deepseek_fp8_to_bf16", "--input_fp8_hf_path", kInput,
       "--output_bf16_hf_path", "OUT", "--cache-file-num=2", "--threads=1"},
      {"deepseek_dequantize", "--input-path", kInput, "--output-path=OUT", "--cache-size=4", "--compression=none"},
  };
  for (std::vector<std::string> line : lines) {
    TemporaryFolder folder;
    for (std::string& word : line) {
      if (size_t at = word.find("OUT"); at != std::string::npos) word.replace(at, 3, folder / "out");
    }
    testing::internal::CaptureStdout();
    EXPECT_EQ(run_command(line, {}), 0) << line[0];
    EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("GB/s, peak memory"));
    EXPECT_TRUE(fs::exists(folder / "out/model-00002-of-000002.safetensors"));
  }
}

TEST(Dequantize, MistakesOfItsFlagsAreNamed) {
  const std::string output = "--output-path=/nowhere/out";
  EXPECT_THAT(refusal({"deepseek_dequantize", output}), HasSubstr("--input_fp8_hf_path=FOLDER"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "--input-path=" + kInput}), HasSubstr("--output_bf16_hf_path=FOLDER"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "--input-path=a", "--input-fp8-hf-path=b", output}),
              HasSubstr("are the same flag"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "input_path=a", output}), HasSubstr("'input_path=a' is no flag"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "--input-path=" + kInput, output, "--threads=0"}),
              HasSubstr("--threads=0"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "--input-path=" + kInput, output, "--compression=gzip"}),
              HasSubstr("zstd or none"));
  EXPECT_THAT(refusal({"deepseek_dequantize", "--input-path=/nowhere/model", output}), HasSubstr("/nowhere/model"));
}

}  // namespace
}  // namespace fathom
