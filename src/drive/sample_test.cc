#include "drive/sample.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(SamplePrompt, OfDataWithoutATokenizerNamesTheKey) {
  Config config;
  config.sample_prompt = "The";
  config.dataset_type = DatasetType::kFiles;
  EXPECT_THAT([&] { sample_prompt_ids(config, nullptr); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("sample_prompt"), HasSubstr("give tokenizer_path"))));
}

}  // namespace
}  // namespace fathom
