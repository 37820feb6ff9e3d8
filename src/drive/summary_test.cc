#include "drive/summary.h"

#include <gmock/gmock.h>

#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Summary, IsShortAndNamesWhatMatters) {
  std::vector<std::string> words = {"model_name=deepseek3-tiny", "dataset_type=synthetic", "run_name=r",
                                    "base_output_directory=out", "gradient_accumulation_steps=2"};
  Config c = resolve_config(words, {}).config;
  std::string text = summarize(c, resolve_mesh(c, 1), {.parameters = 12'345'678, .device = ""});
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 12);
  EXPECT_THAT(text, AllOf(HasSubstr("deepseek3-tiny: 61 layers"), HasSubstr("12.3 million parameters"),
                          HasSubstr("24 rows of 2048 tokens a step, in 2 micro-batches"), HasSubstr("synthetic"),
                          HasSubstr("out/r")));
}

TEST(Summary, SaysWhatExpertsThatNobodyChoseCost) {
  auto text = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"model_name=deepseek3-671b", "dataset_type=synthetic", "run_name=r"});
    Config c = resolve_config(more, {}).config;
    return summarize(c, resolve_mesh(c, 1), {.parameters = 1, .device = ""});
  };
  EXPECT_THAT(text({"sparse_matmul=False", "megablox=False"}),
              HasSubstr("every token by all 256 experts, of which 8 are chosen: 32 times the products needed"));
  const char* kTimes = "times the products";
  EXPECT_THAT(text({"sparse_matmul=True"}), testing::Not(HasSubstr(kTimes)));
  EXPECT_THAT(text({"sparse_matmul=False", "capacity_factor=1.5"}), testing::Not(HasSubstr(kTimes)));
}

TEST(Summary, SaysWhatTheIndexerDoes) {
  auto text = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"model_name=deepseek3.2-671b", "dataset_type=synthetic", "run_name=r"});
    Config c = resolve_config(more, {}).config;
    return summarize(c, resolve_mesh(c, 1), {.parameters = 1, .device = ""});
  };
  const std::string loss = "indexer_loss_scaling_factor=0.01", row = "max_target_length=4096";
  EXPECT_THAT(text({"max_target_length=2048"}), HasSubstr("keeps every key"));
  EXPECT_THAT(text({row}), HasSubstr("keeps 2048 keys of 4096; it does not learn"));
  EXPECT_THAT(text({row, loss}), HasSubstr("dense warm-up: it learns alone, attention dense"));
  EXPECT_THAT(text({row, loss, "indexer_sparse_training=True"}), HasSubstr("sparse stage"));
}

TEST(Summary, SaysWhatIsPredictedBeyondTheNextToken) {
  const std::vector<std::string> words = {"model_name=deepseek3-mini", "dataset_type=synthetic", "run_name=r",
                                          "mtp_num_layers=2", "mtp_variant=pre_own"};
  const Config c = resolve_config(words, {}).config;
  const std::string text = summarize(c, resolve_mesh(c, 1), {.parameters = 1, .device = ""});
  EXPECT_THAT(text, HasSubstr("prediction 2 modules, loss of weight 0.1, variant pre_own\n"));
}

}  // namespace
}  // namespace fathom
