// What a step with sparse attention needs grows with the length of a row, not with its square.
#include <gtest/gtest.h>

#include "mesh_run.h"

namespace fathom {
namespace {

int64_t temporary_bytes(int64_t length) {
  const Config config =
      mesh_config({"use_indexer=True", "indexer_n_heads=2", "indexer_head_dim=64", "indexer_topk=64",
                   "indexer_loss_scaling_factor=0.5", "indexer_sparse_training=True", "attention=flash",
                   "base_num_decoder_layers=2", "cpu_device_count=1", "max_target_length=" + std::to_string(length)});
  return compile_on_mesh(train_step(config, state_spec(config), {1, length})).program().memory_stats().temp;
}

TEST(SparseMemory, GrowsWithTheLengthAlone) {
  const int64_t s = temporary_bytes(512), twice = temporary_bytes(1024), four_times = temporary_bytes(2048);
  EXPECT_GT(twice, s);
  EXPECT_LE(static_cast<double>(four_times - twice), 2.2 * static_cast<double>(twice - s))
      << s << ", " << twice << ", " << four_times << " bytes";
}

}  // namespace
}  // namespace fathom
