// The StableHLO text of two tiny models against the files beside this test, so that a change of any rule that shapes
// the text (an op's lowering, a VJP, remat, the order of arguments, donation) shows as a difference to read. After a
// change that is meant:
//
//   FATHOM_UPDATE=1 build/release/bin/golden_test && git diff tests/golden
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "config/resolve/resolve.h"
#include "kernels/abi.h"
#include "program/programs.h"

namespace fathom {
namespace {

constexpr BatchShape kBatch = {.rows = 2, .length = 8};
constexpr size_t kLargestFile = 300'000;

Config configured(std::vector<std::string> keys) {
  keys.insert(keys.begin(), {"configs/base.yml", "dataset_type=synthetic", "run_name=golden", "dtype=float32",
                             "override_model_config=True", "per_device_batch_size=2", "max_target_length=8",
                             "attention=dot_product"});
  return resolve_config(keys, {}).config;
}

// V2-Lite in small: queries without compression, softmax routing, the layers one by one, nothing kept for a kernel.
Config v2() {
  return configured({"model_name=deepseek2-16b", "vocab_size=32", "base_emb_dim=16", "base_num_decoder_layers=2",
                     "base_num_query_heads=2", "base_num_kv_heads=2", "kv_lora_rank=8", "qk_nope_head_dim=8",
                     "qk_rope_head_dim=4", "v_head_dim=8", "base_mlp_dim=24", "base_moe_mlp_dim=12", "num_experts=4",
                     "num_experts_per_tok=2", "scan_layers=False", "remat_policy=none", "sparse_matmul=False"});
}

// V3 in small: compressed queries, sigmoid routing within groups, layers scanned and recomputed, dropless experts.
Config v3() {
  return configured({"model_name=deepseek3-tiny",
                     "vocab_size=32",
                     "base_emb_dim=16",
                     "base_num_decoder_layers=3",
                     "first_num_dense_layers=1",
                     "base_num_query_heads=2",
                     "base_num_kv_heads=2",
                     "q_lora_rank=12",
                     "kv_lora_rank=8",
                     "qk_nope_head_dim=8",
                     "qk_rope_head_dim=4",
                     "v_head_dim=8",
                     "base_mlp_dim=24",
                     "base_moe_mlp_dim=12",
                     "num_experts=8",
                     "num_experts_per_tok=2",
                     "n_routing_groups=4",
                     "topk_routing_group=2",
                     "remat_policy=custom",
                     "out_proj=device"});
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// A line without its `loc(...)`s.
std::string without_locations(std::string_view line) {
  std::string out;
  for (size_t loc = line.find(" loc("); loc != std::string_view::npos; loc = line.find(" loc(")) {
    out += line.substr(0, loc);
    size_t close = line.find(')', loc);
    line.remove_prefix(close == std::string_view::npos ? line.size() : close + 1);
  }
  return out.append(line);
}

// The text without what says nothing new: locations, which name scopes and change with any of them, the dialect's name,
// and the types of an op's operands, which stand where the operands are made. Not much more than half of it is left.
std::string normalised(const std::string& text) {
  std::string out;
  for (std::string_view line : lines_of(text)) {
    if (line.starts_with("#loc")) continue;
    std::string kept = without_locations(line);
    size_t types = kept.rfind(" : (");
    size_t arrow = kept.find(") -> ", types);
    if (types != std::string::npos && arrow != std::string::npos) kept.erase(types, arrow + 1 - types);
    constexpr std::string_view kDialect = "\"stablehlo.";
    for (size_t at = kept.find(kDialect); at != std::string::npos; at = kept.find(kDialect)) {
      kept.replace(at, kDialect.size(), "\"");
    }
    out += kept + '\n';
  }
  return out;
}

// Where two texts part: the first line that differs, and both sizes.
std::string difference(const std::string& expected, const std::string& actual) {
  std::vector<std::string_view> was = lines_of(expected);
  std::vector<std::string_view> is = lines_of(actual);
  size_t line = 0;
  while (line < was.size() && line < is.size() && was[line] == is[line]) ++line;
  auto at = [&](const std::vector<std::string_view>& lines) {
    return std::string(line < lines.size() ? lines[line] : std::string_view("(the end)"));
  };
  return "first different line " + std::to_string(line + 1) + " (of " + std::to_string(was.size()) + ", now " +
         std::to_string(is.size()) + ")\n  was " + at(was) + "\n  is  " + at(is);
}

// Compares with tests/golden/NAME.txt, or writes it when FATHOM_UPDATE is set.
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = "tests/golden/" + name + ".txt";
  std::string actual = normalised(text);
  EXPECT_LT(actual.size(), kLargestFile) << name << ": take a smaller model, these files are read by people";
  if (std::getenv("FATHOM_UPDATE") != nullptr) write_file_atomically(path, actual);
  ASSERT_TRUE(std::filesystem::exists(path)) << path << " is missing: FATHOM_UPDATE=1 writes it";
  std::string expected = read_file(path);
  EXPECT_TRUE(expected == actual)
      << path << " is not what the program prints now: " << difference(expected, actual)
      << "\nWhen the change is meant, set FATHOM_UPDATE=1, run this test and read the diff.";
}

// What the CPU plugins are given.
EmitOptions with_kernels() {
  EmitOptions options;
  for (std::string_view kernel :
       {abi::kGroupedMatmul, abi::kGroupedOuter, abi::kFlashAttention, abi::kFlashAttentionGrad}) {
    options.target.kernels.emplace(kernel);
  }
  return options;
}

TEST(Golden, V2ForwardComposed) {
  Config config = v2();
  expect_golden("v2_forward", emit(forward(config, state_spec(config), kBatch)));
}

TEST(Golden, V2TrainStepUnscanned) {
  Config config = v2();
  expect_golden("v2_train_step", emit(train_step(config, state_spec(config), kBatch)));
}

TEST(Golden, V3ForwardWithKernels) {
  Config config = v3();
  expect_golden("v3_forward", emit(forward(config, state_spec(config), kBatch), with_kernels()));
}

TEST(Golden, V3TrainStepScannedAndRecomputedWithKernels) {
  Config config = v3();
  expect_golden("v3_train_step", emit(train_step(config, state_spec(config), kBatch), with_kernels()));
}

}  // namespace
}  // namespace fathom
