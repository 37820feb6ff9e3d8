#include "aot/staged_program.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using testing::ThrowsMessage;

StagedProgram staged(ProgramKind kind, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"configs/base.yml",          "run_name=test",          "dataset_type=synthetic",
                                 "model_name=deepseek3-tiny", "compile_topology=v5e-4", "per_device_batch_size=2",
                                 "max_target_length=64"};
  words.insert(words.end(), more.begin(), more.end());
  return stage(resolve_config(words, {}, {.needs_data = false}).config, kind, 4, 1, {.hardware = Hardware::kTpu});
}

int64_t rows_of(const StagedProgram& program) {
  for (const ArgSpec& arg : program.signature.args) {
    if (arg.name == "inputs") return arg.type.shape.size("b");
  }
  return 0;
}

TEST(ParseProgram, KnowsItsWordsAndSaysWhichAreNotBuilt) {
  for (ProgramKind kind : {ProgramKind::kTrain, ProgramKind::kInit, ProgramKind::kEval, ProgramKind::kForward}) {
    EXPECT_EQ(parse_program(name(kind)), kind);
  }
  for (const char* planned : {"prefill", "decode"}) {
    EXPECT_THAT([&] { parse_program(planned); }, ThrowsMessage<ConfigError>(HasSubstr("not built yet"))) << planned;
  }
  EXPECT_THAT([&] { parse_program("trian"); },
              ThrowsMessage<ConfigError>(StartsWith("program=trian: no program of that name; there are train, init")));
}

TEST(Stage, EachProgramHasItsOwnRows) {
  const std::vector<std::string> keys{"gradient_accumulation_steps=3", "eval_per_device_batch_size=1"};
  StagedProgram train = staged(ProgramKind::kTrain, keys);
  EXPECT_EQ(train.name, "train_step");
  EXPECT_EQ(rows_of(train), 24);
  EXPECT_EQ(rows_of(staged(ProgramKind::kEval, keys)), 4);
  EXPECT_EQ(rows_of(staged(ProgramKind::kForward, keys)), 8) << "one micro-batch";
  EXPECT_EQ(rows_of(staged(ProgramKind::kInit, keys)), 0);
}

TEST(Stage, CountsRecomputationAndExpertsThatWereNotChosen) {
  // Products of a forward pass and twice as many of the backward pass; a remat region's once more.
  StagedProgram kept = staged(ProgramKind::kTrain, {"remat_policy=none", "attention=flash"});
  StagedProgram again = staged(ProgramKind::kTrain, {"remat_policy=full", "attention=flash"});
  StagedProgram dense = staged(ProgramKind::kTrain, {"remat_policy=none", "sparse_matmul=False", "megablox=False"});
  EXPECT_EQ(kept.needed_flops, again.needed_flops);
  EXPECT_NEAR(kept.executed_flops / kept.needed_flops, 1, 0.15);
  EXPECT_GT(again.executed_flops, 1.15 * kept.executed_flops);
  EXPECT_LT(again.executed_flops, 1.34 * kept.executed_flops) << "all but the logits";
  EXPECT_GT(dense.executed_flops, 1.3 * kept.executed_flops);
  StagedProgram forward = staged(ProgramKind::kForward, {"attention=flash"});
  EXPECT_NEAR(forward.executed_flops / kept.executed_flops, 1.0 / 3, 0.03);
}

TEST(Stage, InitNeedsNoBatch) {
  EXPECT_THROW(staged(ProgramKind::kTrain, {"per_device_batch_size=0.3"}), ConfigError);
  EXPECT_NO_THROW(staged(ProgramKind::kInit, {"per_device_batch_size=0.3"}));
}

TEST(HeldBytes, CountOnceWhatAResultTakesOver) {
  TensorType w{DType::kF32, {{"d", 8}, {"f", 6}}};
  Signature s{.args = {{.name = "w", .type = w, .sharding = {{{"fsdp"}, {}}}, .donated_to = 1},
                       {.name = "tokens", .type = {DType::kS32, {{"b", 2}}}}},
              .results = {{.name = "loss", .type = {DType::kF32, {}}}, {.name = "w", .type = w}},
              .mesh = {{{"fsdp", 4}}}};
  HeldBytes held = held_bytes(s);
  EXPECT_EQ(held.device, 2 * 6 * 4 + 8 + 4);
  EXPECT_EQ(held.whole, 8 * 6 * 4 + 8 + 4);
}

}  // namespace
}  // namespace fathom
