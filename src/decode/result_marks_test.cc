#include "decode/result_marks.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/resolve/resolve.h"

namespace fathom {
namespace {

TEST(ResultMarks, OfAModelAreThoseOfEveryKeyThatChangesWhatItComputes) {
  const std::vector<std::string> words = {"configs/base.yml", "model_name=deepseek3-tiny", "run_name=r",
                                          "dataset_type=synthetic"};
  const Config usual = resolve_config(words, {}).config;
  const std::string mark = model_mark(usual);
  const std::vector<void (*)(Config&)> changes = {
      [](Config& c) { c.quantization = Quantization::kFp8; },  // mmlu multiplies as training does
      [](Config& c) { c.quantize_weights = WeightQuantization::kInt8; },
      [](Config& c) { c.dtype = DType::kF32; },
      [](Config& c) { c.num_experts_per_tok = 1; },
      [](Config& c) { c.routed_scaling_factor = 9; },
      [](Config& c) { c.indexer_topk = 7; },
      [](Config& c) { c.max_position_embeddings = 9; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Config config = usual;
    changes[i](config);
    EXPECT_NE(mark, model_mark(config)) << "change " << i;
  }
  Config elsewhere = usual;
  elsewhere.run_name = "other";
  EXPECT_EQ(mark, model_mark(elsewhere));
}

TEST(ResultMarks, OfAFolderDoNotCountTheSlashAtItsEnd) {
  Config config, slash;
  config.load_parameters_path = "a/../b";
  slash.load_parameters_path = "b/";
  EXPECT_EQ(folder_mark(config), folder_mark(slash));
}

}  // namespace
}  // namespace fathom
