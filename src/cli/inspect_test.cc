#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "cli/commands.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr const char* kOrbax = "tests/data/checkpoints/scanned/converted_aug";

struct Said {
  int code = 0;
  std::string out;
};

Said inspect(std::vector<std::string> args) {
  args.insert(args.begin(), "inspect");
  testing::internal::CaptureStdout();
  try {
    const int code = run_command(args, {});
    return {code, testing::internal::GetCapturedStdout()};
  } catch (const Error& e) {
    return {e.exit_code(), testing::internal::GetCapturedStdout() + e.what()};
  }
}

TEST(Inspect, TableHasEveryTensorAndTheTotalsOfItsGroups) {
  const Said said = inspect({"tests/data/deepseek_v3/hf"});
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.out, ContainsRegex("lm_head.weight +float32 +\\[[0-9]+, 48\\] +[0-9]+\n"));
  EXPECT_THAT(said.out, ContainsRegex("\nmodel.layers.\\*.mlp.experts +[0-9]+ +[0-9]+ +[0-9]+\n"));
  EXPECT_THAT(said.out, ContainsRegex("\nmodel.layers.\\*.self_attn +[0-9]+ +[0-9]+ +[0-9]+\n"));
  EXPECT_THAT(said.out, ContainsRegex("\nmodel.embed_tokens +1 "));
  EXPECT_THAT(said.out, HasSubstr("tests/data/deepseek_v3/hf: safetensors, "));
}

TEST(Inspect, JsonAddsUp) {
  for (const char* path : {kOrbax, "tests/data/deepseek_v2/hf", "tests/data/deepseek_v2/train_batch.safetensors"}) {
    const Said said = inspect({path, "--json"});
    EXPECT_EQ(said.code, 0);
    const Json json = Json::parse(said.out);
    int64_t bytes = 0, of_groups = 0, tensors = 0;
    for (const Json& tensor : json["tensors"]) bytes += tensor["bytes"].get<int64_t>();
    for (const Json& group : json["groups"]) {
      of_groups += group["bytes"].get<int64_t>();
      tensors += group["tensors"].get<int64_t>();
    }
    EXPECT_EQ(json["total"]["bytes"], bytes);
    EXPECT_EQ(of_groups, bytes);
    EXPECT_EQ(tensors, json["tensors"].size());
    EXPECT_EQ(json["total"]["tensors"], tensors);
  }
  const Json orbax = Json::parse(inspect({kOrbax, "--json"}).out);
  EXPECT_EQ(orbax["format"], "orbax");
  EXPECT_EQ(orbax["scan_layers"], true);
  EXPECT_EQ(orbax["empty"], Json::array({"opt_state"}));
}

TEST(Inspect, DiffSaysWhereAndGivesOne) {
  EXPECT_EQ(inspect({"--diff", kOrbax, std::string(kOrbax) + "/items"}).code, 0);
  const Said said = inspect({"--diff", "tests/data/deepseek_v2/hf", "tests/data/deepseek_v2/hf_bf16"});
  EXPECT_EQ(said.code, 1);
  EXPECT_THAT(said.out, AllOf(HasSubstr("lm_head.weight: float32 in tests/data/deepseek_v2/hf, bfloat16 in"),
                              HasSubstr("inspect: 83 differences")));
  const Json json =
      Json::parse(inspect({"--diff", "tests/data/deepseek_v2/hf", "tests/data/deepseek_v2/hf_bf16", "--json"}).out);
  EXPECT_EQ(json["count"], 83);
}

TEST(Inspect, RunIsItsNewestStep) {
  TemporaryFolder run;
  for (const char* step : {"checkpoints/3", "checkpoints/12"}) {
    std::filesystem::create_directories(run / step);
    std::filesystem::copy(kOrbax, run / step, std::filesystem::copy_options::recursive);
  }
  const Said said = inspect({run.path()});
  EXPECT_EQ(said.code, 0) << said.out;
  EXPECT_THAT(said.out, HasSubstr("checkpoints/12: orbax, "));
  EXPECT_EQ(inspect({"--diff", run.path(), kOrbax}).code, 0);
}

TEST(Inspect, WhatItCannotReadIsOneLine) {
  EXPECT_THAT(inspect({}).out, HasSubstr("inspect takes one folder or file, got 0"));
  EXPECT_THAT(inspect({"--diff", kOrbax}).out, HasSubstr("inspect takes two folders or files, got 1"));
  EXPECT_THAT(inspect({"steps=3"}).out, HasSubstr("inspect takes no configuration"));
  const Said none = inspect({"tests/data/config"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.out, HasSubstr("tests/data/config: neither a Hugging Face folder"));
}

}  // namespace
}  // namespace fathom
