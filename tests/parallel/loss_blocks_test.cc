// The logits of a step never exist all at once, on one device and on several.
#include <gtest/gtest.h>

#include "mesh_run.h"
#include "runtime/compiled_program.h"

namespace fathom {
namespace {

// What the compiler sets aside for a step with DeepSeek-V3's vocabulary, beside arguments and results.
int64_t temp_bytes(const std::vector<std::string>& keys, int64_t devices, const BatchShape& batch) {
  std::vector<std::string> all = {"vocab_size=129280", "base_num_decoder_layers=2", "base_emb_dim=64", "opt_type=sgd"};
  all.insert(all.end(), keys.begin(), keys.end());
  const Config config = mesh_config(all);
  const StateSpec spec = state_spec(config, mesh_of(config, devices));
  return compile_on_mesh(train_step(config, spec, batch)).program().memory_stats().temp;
}

constexpr int64_t kVocabularyBytes = 129280 * 4;  // of one token

TEST(LossBlocks, AStepNeedsAFractionOfItsLogits) {
  const int64_t logits = 2048 * kVocabularyBytes;  // 1.06 GB
  const int64_t temp = temp_bytes({}, 1, {1, 2048});
  EXPECT_LT(temp, logits / 2);
  RecordProperty("temp", std::to_string(temp));
  // Two blocks of half of the logits: the number is the user's.
  EXPECT_GT(temp_bytes({"num_vocab_tiling=2"}, 1, {1, 2048}), logits / 2);
}

TEST(LossBlocks, SoDoesEachDeviceOfAMesh) {
  const int64_t logits_of_device = 2048 * kVocabularyBytes / 2;
  EXPECT_LT(temp_bytes({"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"}, 4, {2, 2048}), logits_of_device);
}

}  // namespace
}  // namespace fathom
