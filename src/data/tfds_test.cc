#include "data/tfds.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/proto_wire.h"
#include "base/temporary_folder.h"
#include "base/tf_record.h"
#include "data/documents.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

const std::string kRoot = "tests/data/tfds";
const std::string kVersion = kRoot + "/c4/en/3.1.0";

std::optional<std::string> find(const std::string& path, const std::string& name, bool required = true) {
  return find_tfds({.path = path, .name = name, .required = required});
}

TEST(FindTfds, ANameMayStandInThePathInPart) {
  for (const char* name : {"c4/en:3.1.0", "c4/en", "c4/en:3.*.*"}) {
    for (const char* path : {"", "/c4", "/c4/en"}) EXPECT_EQ(find(kRoot + path, name), kVersion) << name << path;
  }
  EXPECT_EQ(find(kVersion, "whatever:1.0.0"), kVersion);
}

TEST(FindTfds, TheNewestVersionIsTakenWhereNoneIsNamed) {
  TemporaryFolder folder;
  for (const char* version : {"2.3.1", "10.0.0", "9.9.9", "9.10.0", "3.1.0.old", "incomplete.1"}) {
    std::filesystem::create_directories(folder / (std::string("a/") + version));
  }
  EXPECT_EQ(find(folder.path(), "a"), folder / "a/10.0.0");
  EXPECT_EQ(find(folder.path(), "a:9.*"), folder / "a/9.10.0");
  EXPECT_THAT([&] { find(folder.path(), "a:3.1.0"); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("dataset_name=a:3.1.0: " + folder / "a"),
                                               HasSubstr("there are 2.3.1, 9.9.9, 9.10.0, 10.0.0"))));
}

TEST(FindTfds, AVersionThatIsNotThereIsAnErrorThatListsTheOthers) {
  for (bool required : {false, true}) {
    EXPECT_THAT([&] { find(kRoot, "c4/en:3.0.0", required); },
                ThrowsMessage<ConfigError>("dataset_name=c4/en:3.0.0: tests/data/tfds/c4/en has no version 3.0.0; "
                                           "there is 3.1.0 (dataset_name=c4/en:3.1.0)"));
  }
  EXPECT_THAT([&] { find(kRoot, "wiki40b/en:1.0.0"); },
              ThrowsMessage<ConfigError>(HasSubstr("holds no data set 'wiki40b/en'; its folders are: c4")));
  EXPECT_THAT([&] { find(kRoot, "c4"); },
              ThrowsMessage<ConfigError>(HasSubstr("tests/data/tfds/c4 holds no version of a data set; its folders "
                                                   "are: en")));
  EXPECT_THAT([&] { find(kRoot + "/absent", "c4/en"); }, ThrowsMessage<ConfigError>(HasSubstr("no such folder")));
}

TEST(FindTfds, FoldersOfOtherDataAreNone) {
  TemporaryFolder folder;
  folder.write("1.0.0/a.txt", "x");
  folder.write("c4/en/3.0.0/a.txt", "x");
  EXPECT_EQ(find(folder.path(), "c4/en:3.1.0", false), std::nullopt);
  EXPECT_EQ(find(folder.write("a.txt", "x"), "c4/en:3.1.0", false), std::nullopt);
  EXPECT_EQ(find(kRoot, "wiki40b/en:1.0.0", false), std::nullopt);
}

TEST(TfdsShards, AreThoseOfTheSplit) {
  const std::vector<RecordShard> shards = tfds_shards(kVersion, "validation", "eval_split");
  ASSERT_EQ(shards.size(), 4u);
  EXPECT_EQ(shards[2].path, kVersion + "/c4-validation.tfrecord-00002-of-00004");
  EXPECT_EQ(shards[2].records, 5);
  EXPECT_EQ(shards[2].bytes, 5928);
  EXPECT_THAT([] { tfds_shards(kVersion, "test", "eval_split"); },
              ThrowsMessage<ConfigError>("eval_split=test: tests/data/tfds/c4/en/3.1.0/dataset_info.json has no such "
                                         "split; it has train, validation"));
}

// A version of a data set "d" with this description of its one split.
class DescribedSplit : public testing::Test {
 protected:
  std::vector<RecordShard> shards(const std::string& split, const std::string& more = "") {
    folder_.write("dataset_info.json", R"({"name": "d", )" + more + R"("splits": [)" + split + "]}");
    return tfds_shards(folder_.path(), "train", "train_split");
  }
  TemporaryFolder folder_;
};

TEST_F(DescribedSplit, FollowsTheTemplateOfItsFiles) {
  for (const char* name : {"d-train.tfrecord-00000-of-00001", "train_00000.d.00001"}) folder_.write(name, "x");
  EXPECT_EQ(shards(R"({"name": "train", "shardLengths": ["3"]})").at(0).path,
            folder_ / "d-train.tfrecord-00000-of-00001");
  EXPECT_EQ(shards(R"({"name": "train", "shardLengths": [3],
                       "filepathTemplate": "{SPLIT}_{SHARD_INDEX}.{DATASET}.{NUM_SHARDS}"})")
                .at(0)
                .path,
            folder_ / "train_00000.d.00001");
}

TEST_F(DescribedSplit, IsNotBelievedBlindly) {
  EXPECT_THAT([&] { shards(R"({"name": "train", "shardLengths": ["1", "2"]})"); },
              ThrowsMessage<FormatError>(HasSubstr("split 'train' has 2 files, of which 2 are not there: "
                                                   "d-train.tfrecord-00000-of-00002, ")));
  folder_.write("d-train.tfrecord-00000-of-00001", "x");
  for (const char* length : {"\"-1\"", "\"1e3\"", "1.5", "null", "\"99999999999999999999\"", "\"\""}) {
    EXPECT_THAT([&] { shards(fmt::format(R"({{"name": "train", "shardLengths": [{}]}})", length)); },
                ThrowsMessage<FormatError>(HasSubstr("no number of records")))
        << length;
  }
  EXPECT_THAT([&] { shards(R"({"name": "train", "shardLengths": ["0"]})"); },
              ThrowsMessage<FormatError>(HasSubstr("1 bytes, and dataset_info.json says that it is empty")));
  EXPECT_THAT([&] { shards(R"({"name": "train"})"); }, ThrowsMessage<FormatError>(HasSubstr("no shardLengths")));
  EXPECT_THAT([&] { shards("3"); }, ThrowsMessage<FormatError>(HasSubstr("a split is no object")));
  EXPECT_THAT([&] { shards(R"({"name": "train", "shardLengths": ["1"]})", R"("fileFormat": "array_record",)"); },
              ThrowsMessage<ConfigError>(HasSubstr("stored as array_record; tfrecord is what is read")));
  folder_.write("dataset_info.json", "{\"splits\": ");
  EXPECT_THAT(
      [&] { tfds_shards(folder_.path(), "train", "train_split"); },
      ThrowsMessage<FormatError>(HasSubstr("dataset_info.json: at byte 11: not JSON: unexpected end of input")));
  folder_.write("dataset_info.json", "[]");
  EXPECT_THAT([&] { tfds_shards(folder_.path(), "train", "train_split"); },
              ThrowsMessage<FormatError>(HasSubstr("names no splits")));
}

std::unique_ptr<DocumentSource> open(const std::string& column, DocumentContent content = DocumentContent::kText) {
  const DatasetFiles files = find_dataset(kRoot, "dataset_path", {.split = "train", .tfds_name = "c4/en"});
  return open_documents(files, {.column = column, .content = content});
}

TEST(TfRecordSource, GivesTheFeatureOfEveryRecordInTheOrderOfTheFiles) {
  std::unique_ptr<DocumentSource> text = open("text"), url = open("url");
  EXPECT_EQ(text->size(), 150);
  EXPECT_EQ(text->blocks().size(), 4u);
  EXPECT_THAT(std::string(text->text(0)), testing::StartsWith("Augmented assignment statements\n****"));
  EXPECT_THAT(std::string(url->text(149)), testing::EndsWith("/00011.html"));
  EXPECT_EQ(text->where(38 + 36), kVersion + "/c4-train.tfrecord-00001-of-00004: record 36");
}

TEST(TfRecordSource, AFeatureThatIsNotThereShowsAtOnceAndListsThoseThatAre) {
  EXPECT_THAT([] { open("content"); },
              ThrowsMessage<FormatError>(
                  AllOf(HasSubstr("00000-of-00004: record 0: no feature 'content'; the features are: content-length, "
                                  "content-type, text, timestamp, url"),
                        HasSubstr("train_data_columns"))));
  EXPECT_THAT([] { open("text", DocumentContent::kTokenIds); },
              ThrowsMessage<FormatError>(HasSubstr("feature 'text' holds bytes, not token ids")));
}

// A data set of one record with the feature "x".
std::unique_ptr<DocumentSource> one_record(const TemporaryFolder& folder, const std::string& feature,
                                           DocumentContent content) {
  ProtoWriter entry, features, example;
  entry.bytes(1, "x").bytes(2, feature);
  features.bytes(1, entry.str());
  example.bytes(1, features.str());
  std::string bytes;
  append_tf_record(bytes, example.str());
  const std::string path = folder.write("r", bytes);
  return open_documents({.kind = DatasetKind::kTfds, .shards = {{path, 1, static_cast<int64_t>(bytes.size())}}},
                        {.column = "x", .content = content});
}

TEST(TfRecordSource, AListOfNumbersIsTokenIdsAndAFeatureHoldsOneText) {
  TemporaryFolder folder;
  ProtoWriter numbers, two, none;
  numbers.bytes(3, ProtoWriter().varints(1, std::vector<int64_t>{5, 0, -7, 1 << 20}).str());
  two.bytes(1, ProtoWriter().bytes(1, "a").bytes(1, "b").str());
  EXPECT_THAT(one_record(folder, numbers.str(), DocumentContent::kTokenIds)->ids(0),
              testing::ElementsAre(5, 0, -7, 1 << 20));
  EXPECT_THAT([&] { one_record(folder, numbers.str(), DocumentContent::kText); },
              ThrowsMessage<FormatError>(HasSubstr("feature 'x' holds whole numbers, not text")));
  EXPECT_THAT([&] { one_record(folder, two.str(), DocumentContent::kText); },
              ThrowsMessage<FormatError>(HasSubstr("feature 'x' holds 2 values, not one text")));
  EXPECT_THAT([&] { one_record(folder, "", DocumentContent::kText); },
              ThrowsMessage<FormatError>(HasSubstr("feature 'x' holds nothing, not text")));
  EXPECT_THAT([&] { one_record(folder, "\x0a\x7f", DocumentContent::kText); },
              ThrowsMessage<FormatError>(HasSubstr("record 0")));
}

}  // namespace
}  // namespace fathom
