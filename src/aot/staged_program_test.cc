#include "aot/staged_program.h"

#include <gmock/gmock.h>

#include "base/device_bytes.h"
#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::StartsWith;
using testing::ThrowsMessage;

StagedProgram staged(ProgramKind kind, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"configs/base.yml",          "run_name=test",          "dataset_type=synthetic",
                                 "model_name=deepseek3-tiny", "compile_topology=v5e-4", "per_device_batch_size=2",
                                 "max_target_length=64"};
  words.insert(words.end(), more.begin(), more.end());
  return stage(resolve_config(words, {}, {.needs_data = false}).config, kind, 4, 1, {.hardware = Hardware::kTpu});
}

// Of its tokens; 0 where it takes none.
int64_t size_of(const StagedProgram& program, const char* axis) {
  for (const ArgSpec& arg : program.signature.args) {
    if (arg.name == "inputs") return arg.type.shape.size(axis);
  }
  return 0;
}
int64_t rows_of(const StagedProgram& program) { return size_of(program, "b"); }

TEST(ParseProgram, KnowsItsWords) {
  for (ProgramKind kind : {ProgramKind::kTrain, ProgramKind::kInit, ProgramKind::kEval, ProgramKind::kForward,
                           ProgramKind::kPrefill, ProgramKind::kDecode}) {
    EXPECT_EQ(parse_program(name(kind)), kind);
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

TEST(Stage, CountsWhatTheModelAsksForAndWhatIsDoneBeyondIt) {
  StagedProgram forward = staged(ProgramKind::kForward, {"attention=dot_product"});
  const ModelConfig& m = forward.state.model;
  const FlopCount of_token = train_flops_per_token(m, 64);
  const double tokens = 2 * 64;  // on a device
  EXPECT_DOUBLE_EQ(forward.needed_flops, of_token.total() / 3 * tokens);
  EXPECT_DOUBLE_EQ(forward.executed_flops, (of_token.weights + 2 * of_token.attention) / 3 * tokens)
      << "all pairs of the attention, half of which the mask hides";
  StagedProgram dense =
      staged(ProgramKind::kForward, {"attention=dot_product", "sparse_matmul=False", "megablox=False"});
  auto not_chosen = static_cast<double>(m.moe_layers() * (m.experts - m.top_k) * 6 * m.d * m.moe_mlp_dim);
  EXPECT_DOUBLE_EQ(dense.executed_flops, forward.executed_flops + not_chosen * tokens);
  EXPECT_EQ(dense.needed_flops, forward.needed_flops);
}

// Two rows of a device, each of 64 places: latents of 16 and a rotated key of 64 numbers in 61 layers.
TEST(Stage, DecodingHasARowForEachPromptAndACacheForItsTokens) {
  const std::vector<std::string> keys{"max_prefill_predict_length=20", "dtype=bfloat16"};
  const StagedProgram step = staged(ProgramKind::kDecode, keys), prompts = staged(ProgramKind::kPrefill, keys);
  EXPECT_EQ(step.name, "decode_step");
  EXPECT_EQ(prompts.name, "prefill");
  for (const StagedProgram* program : {&step, &prompts}) {
    EXPECT_EQ(rows_of(*program), 8);
    int64_t cache = 0;
    for (const ArgSpec& arg : program->signature.args) {
      if (arg.donated_to) cache += device_bytes(arg.type, arg.sharding, program->signature.mesh);
    }
    EXPECT_EQ(cache, int64_t{2} * 64 * 61 * (16 + 64) * 2) << program->name;
  }
  // Of the prompts' 32 places each, padding included, with the logits of one, and of one token behind 63 others.
  const ModelConfig& m = step.state.model;
  const auto head = static_cast<double>(2 * m.d * m.vocab);
  EXPECT_DOUBLE_EQ(prompts.needed_flops, (train_flops_per_token(m, 32).total() / 3 * 32 - 31 * head) * 2);
  EXPECT_LE(prompts.needed_flops, prompts.executed_flops);
  const FlopCount of_token = train_flops_per_token(m, 64);
  EXPECT_NEAR(step.needed_flops, (of_token.weights + 2 * of_token.attention) / 3 * 2, of_token.attention);
}

TEST(Stage, DecodingWithDraftsTakesTwoTokensOfARow) {
  const StagedProgram step = staged(ProgramKind::kDecode, {"mtp_num_layers=1"});
  EXPECT_EQ(step.name, "draft_step");
  EXPECT_EQ(size_of(step, "s"), 2);
}

TEST(Stage, LongPromptsComeInPieces) {
  const StagedProgram piece = staged(
      ProgramKind::kPrefill, {"max_prefill_predict_length=40", "use_chunked_prefill=true", "prefill_chunk_size=16"});
  EXPECT_EQ(piece.name, "prefill_more");
  EXPECT_EQ(size_of(piece, "s"), 16);
}

TEST(Stage, CountsRecomputation) {
  StagedProgram kept = staged(ProgramKind::kTrain, {"remat_policy=none"});
  StagedProgram again = staged(ProgramKind::kTrain, {"remat_policy=full"});
  StagedProgram forward = staged(ProgramKind::kForward);
  EXPECT_DOUBLE_EQ(kept.needed_flops, 3 * forward.needed_flops);
  EXPECT_EQ(kept.needed_flops, again.needed_flops);
  EXPECT_GE(kept.executed_flops, 3 * forward.executed_flops);
  EXPECT_GT(again.executed_flops, kept.executed_flops);
  EXPECT_LT(again.executed_flops, kept.executed_flops + forward.executed_flops) << "the logits are not made again";
}

TEST(Stage, WarmupOfTheIndexerNeedsNoMoreThanItDoes) {
  StagedProgram warmup = staged(ProgramKind::kTrain, {"use_indexer=True", "indexer_topk=8", "indexer_n_heads=4",
                                                      "indexer_head_dim=72", "indexer_loss_scaling_factor=0.1"});
  EXPECT_LT(warmup.needed_flops, warmup.executed_flops);
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
