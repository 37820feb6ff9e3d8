#include "decode/result_marks.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(ResultMarks, OfNumbersAreThoseOfEveryKeyThatRounds) {
  const Config config;
  Config fp8 = config, int8 = config;
  fp8.quantization = Quantization::kFp8;  // mmlu multiplies as training does
  int8.quantize_weights = WeightQuantization::kInt8;
  EXPECT_NE(numbers_mark(config), numbers_mark(fp8));
  EXPECT_NE(numbers_mark(config), numbers_mark(int8));
  EXPECT_NE(numbers_mark(fp8), numbers_mark(int8));
}

TEST(ResultMarks, OfAFolderDoNotCountTheSlashAtItsEnd) {
  Config config, slash;
  config.load_parameters_path = "a/../b";
  slash.load_parameters_path = "b/";
  EXPECT_EQ(folder_mark(config), folder_mark(slash));
}

}  // namespace
}  // namespace fathom
