#include "data/config_options.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

Config file_config(const std::string& path) {
  Config config;
  config.dataset_type = DatasetType::kFiles;
  config.dataset_path = path;
  config.train_data_columns = {"text"};
  config.eval_data_columns = {"text"};
  config.max_target_length = 64;
  config.vocab_size = 100;
  config.train_split = "train";
  config.eval_split = "validation";
  config.num_epoch = 3;
  config.data_shuffle_seed = 9;
  return config;
}

TEST(ConfigOptions, TrainingTakesItsKeysAndItsShare) {
  DataOptions options = train_data_options(file_config("folder"), {.rows = 4, .process_index = 1, .process_count = 2});
  EXPECT_EQ(options.path, "folder");
  EXPECT_EQ(options.rows, 4);
  EXPECT_EQ(options.length, 64);
  EXPECT_EQ(options.seed, 9u);
  EXPECT_EQ(options.num_epoch, 3);
  EXPECT_EQ(options.process_index, 1);
  EXPECT_TRUE(options.shuffle);
}

TEST(ConfigOptions, TheTemplateOfConversationsIsTheOneGivenElseTheFoldersElseV32s) {
  const nlohmann::ordered_json messages = {{{"role", "user"}, {"content", "a"}}};
  Config config;
  config.tokenizer_path = "tests/data/chat/v2";
  EXPECT_THAT(chat_format(config)->text(messages, {}), testing::EndsWith("User: a\n\n"));
  config.chat_template = "{{ messages[0].role }}";
  EXPECT_EQ(chat_format(config)->text(messages, {}), "user");
  TemporaryFolder folder;
  config.chat_template.clear();
  config.chat_template_path = folder.write("t.jinja", "{{ messages[0].content }}");
  EXPECT_EQ(chat_format(config)->text(messages, {}), "a");
  config.chat_template_path.clear();
  config.tokenizer_path = folder.path();
  EXPECT_THAT([&] { chat_format(config); },
              testing::ThrowsMessage<ConfigError>(testing::HasSubstr("give one with chat_template_path")));
  config.use_indexer = true;
  EXPECT_THAT(chat_format(config)->text(messages, {}), testing::HasSubstr("<｜User｜>a<｜Assistant｜>"));
}

TEST(ConfigOptions, PaddingOfTheLastBatchIsAskedForEach) {
  TemporaryFolder folder;
  folder.write("validation/a.txt", "x");
  Config config = file_config(folder.path());
  config.generate_padding_batch_train = true;
  EXPECT_TRUE(train_data_options(config, {.rows = 1}).pad_last_batch);
  EXPECT_FALSE(eval_data_options(config, {.rows = 1}).pad_last_batch);
  config.generate_padding_batch_train = false;
  config.generate_padding_batch_eval = true;
  EXPECT_FALSE(train_data_options(config, {.rows = 1}).pad_last_batch);
  EXPECT_TRUE(eval_data_options(config, {.rows = 1}).pad_last_batch);
}

TEST(ConfigOptions, EvaluationPrefersItsFilesThenTheSplitThenTheTrainingData) {
  TemporaryFolder folder;
  folder.write("validation/a.txt", "x");
  Config config = file_config(folder.path());
  config.eval_steps = 7;
  DataOptions options = eval_data_options(config, {.rows = 1});
  EXPECT_EQ(options.split, "validation");
  EXPECT_EQ(options.max_batches, 7);
  EXPECT_EQ(options.num_epoch, 1);
  EXPECT_FALSE(options.shuffle);
  config.eval_split = "test";
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).split, "train");
  config.hf_eval_files = "elsewhere";
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).path, "elsewhere");
}

TEST(ConfigOptions, AnEvaluationOnWhatIsTrainedOnIsSaid) {
  TemporaryFolder folder;
  folder.write("train/a.txt", "x");
  folder.write("validation/a.txt", "x");
  Config config = file_config(folder.path());
  auto said = [&] {
    testing::internal::CaptureStderr();
    eval_data_options(config, {.rows = 1});
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(said(), "");
  config.eval_split = "train";
  EXPECT_THAT(said(), testing::HasSubstr("eval_split=train: is what is trained on"));
  config.eval_split = "test";
  EXPECT_THAT(said(),
              testing::HasSubstr("has no split 'test' (it has train, validation): evaluating on the training data"));
  config.hf_eval_files = folder.path();
  EXPECT_THAT(said(), testing::HasSubstr("is what is trained on"));
}

TEST(ConfigOptions, HfNamesAPathOrAKindOfFile) {
  Config config = file_config("");
  config.dataset_type = DatasetType::kHf;
  config.hf_path = "a/folder";
  EXPECT_EQ(train_data_options(config, {.rows = 1}).path, "a/folder");
  config.hf_path = "parquet";
  config.hf_train_files = "b/*.parquet";
  EXPECT_EQ(train_data_options(config, {.rows = 1}).path, "b/*.parquet");
  EXPECT_EQ(train_data_options(config, {.rows = 1}).loader, DatasetKind::kParquet);
  config.hf_path = "text";
  config.hf_eval_files = "c";
  EXPECT_EQ(train_data_options(config, {.rows = 1}).loader, DatasetKind::kLines);
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).loader, DatasetKind::kLines);
}

TEST(ConfigOptions, ADataSetOfTensorFlowDatasetsIsEvaluatedOnItsOwnName) {
  Config config = file_config("tests/data/tfds");
  config.dataset_name = config.eval_dataset_name = "c4/en:3.1.0";
  DataOptions options = eval_data_options(config, {.rows = 1});
  EXPECT_EQ(options.split, "validation");
  EXPECT_EQ(options.tfds_name, "c4/en:3.1.0");
  EXPECT_FALSE(options.tfds_required);
  config.dataset_type = DatasetType::kTfds;
  config.eval_split = "test";
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).split, "test") << "an error when it is opened";
  EXPECT_TRUE(train_data_options(config, {.rows = 1}).tfds_required);
  config.hf_eval_files = "tests/data/data/corpus.jsonl";
  EXPECT_FALSE(eval_data_options(config, {.rows = 1}).tfds_required);
  config.hf_eval_files.clear();
  config.eval_dataset_name = "c4/en:1.0.0";
  EXPECT_THROW(eval_data_options(config, {.rows = 1}), ConfigError);
  config.dataset_type = DatasetType::kHf;
  config.hf_path = "tests/data/tfds";
  EXPECT_EQ(train_data_options(config, {.rows = 1}).tfds_name, "");
}

TEST(ConfigOptions, TokenIdsAreAskedForEach) {
  TemporaryFolder folder;
  folder.write("validation/a.jsonl", "{}");
  Config config = file_config(folder.path());
  config.tokenize_train_data = false;
  EXPECT_EQ(train_data_options(config, {.rows = 1}).content, DocumentContent::kTokenIds);
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).content, DocumentContent::kText);
  config.tokenize_train_data = true;
  config.tokenize_eval_data = false;
  EXPECT_EQ(train_data_options(config, {.rows = 1}).content, DocumentContent::kText);
  EXPECT_EQ(eval_data_options(config, {.rows = 1}).content, DocumentContent::kTokenIds);
}

TEST(ConfigOptions, ThePeersMaskIsThatOfItsDefaultsInEvaluationToo) {
  TemporaryFolder folder;
  folder.write("validation/a.txt", "x");
  Config config = file_config(folder.path());
  EXPECT_FALSE(train_data_options(config, {.rows = 1}).peer_rules);
  EXPECT_FALSE(eval_data_options(config, {.rows = 1}).peer_rules);
  config.defaults = DefaultsKind::kMaxtext;
  EXPECT_TRUE(train_data_options(config, {.rows = 1}).peer_rules);
  EXPECT_TRUE(eval_data_options(config, {.rows = 1}).peer_rules);
}

}  // namespace
}  // namespace fathom
