#include "checkpoint/safetensors_folder.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr const char* kSharded = "tests/data/deepseek_v2/hf";
constexpr const char* kFirstShard = "model-00001-of-000002.safetensors";

TEST(TensorFolder, ShardsAndSingleFileAreRead) {
  TensorFolder shards = TensorFolder::open(kSharded);
  TensorFolder single = TensorFolder::open("tests/data/deepseek_v2/hf_bf16");
  EXPECT_EQ(shards.names().size(), 83u);
  EXPECT_EQ(shards.names(), single.names());
  EXPECT_EQ(shards.find("model.norm.weight")->dtype, DType::kF32);
  EXPECT_EQ(shards.find("nothing"), nullptr);
  EXPECT_TRUE(TensorFolder::is_model_folder(kSharded));
  EXPECT_FALSE(TensorFolder::is_model_folder("tests/data"));
}

// The bfloat16 copy holds the rounded values of the float32 one: a wrong offset would show.
TEST(TensorFolder, ValuesOfBothLayoutsAgree) {
  TensorFolder shards = TensorFolder::open(kSharded);
  TensorFolder single = TensorFolder::open("tests/data/deepseek_v2/hf_bf16");
  for (const std::string& name : shards.names()) {
    HostArray rounded = convert(shards.tensor(name), single.find(name)->dtype);
    HostArray expected = single.tensor(name);
    ASSERT_EQ(rounded.sizes(), expected.sizes()) << name;
    EXPECT_EQ(std::memcmp(rounded.data(), expected.data(), static_cast<size_t>(expected.bytes())), 0) << name;
  }
}

TEST(TensorFolder, FileOfATensorIsTheOneOfTheIndex) {
  TensorFolder folder = TensorFolder::open(kSharded);
  EXPECT_THAT(folder.file_of("model.embed_tokens.weight").path(), HasSubstr(kFirstShard));
  EXPECT_THAT([&] { folder.tensor("model.layers.9.mlp.up_proj.weight"); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr(kSharded), HasSubstr("'model.layers.9.mlp.up_proj.weight'"))));
}

TEST(TensorFolder, FolderWithoutWeightsIsTheUsersMistake) {
  TemporaryFolder folder;
  EXPECT_THAT([&] { TensorFolder::open(folder.path()); },
              ThrowsMessage<ConfigError>(HasSubstr("neither model.safetensors nor model.safetensors.index.json")));
  EXPECT_THAT([&] { TensorFolder::open(folder / "none"); }, ThrowsMessage<ConfigError>(HasSubstr("no such folder")));
}

class ShardedCopy : public testing::Test {
 protected:
  ShardedCopy() { std::filesystem::copy(kSharded, folder_.path()); }

  void expect_refused(const testing::Matcher<const std::string&>& message) {
    EXPECT_THAT([&] { TensorFolder::open(folder_.path()); }, ThrowsMessage<FormatError>(message));
  }
  std::string index() { return read_file(folder_ / kModelIndex); }

  TemporaryFolder folder_;
};

TEST_F(ShardedCopy, MissingShardIsNamedWithATensor) {
  std::filesystem::remove(folder_ / kFirstShard);
  expect_refused(AllOf(HasSubstr(std::string(kModelIndex)), HasSubstr(kFirstShard),
                       HasSubstr("(of tensor 'model.embed_tokens.weight')")));
}

TEST_F(ShardedCopy, ListedButAbsentTensorsAreNamedTogether) {
  std::string text = index();
  size_t brace = text.find('{', text.find("weight_map")) + 1;
  text.insert(brace, fmt::format(R"("ghost.a": "{}", "ghost.b": "{}",)", kFirstShard, kFirstShard));
  folder_.write(kModelIndex, text);
  expect_refused(AllOf(HasSubstr("'ghost.a' (should be in " + std::string(kFirstShard) + ")"), HasSubstr("'ghost.b'")));
}

TEST_F(ShardedCopy, DamagedShardIsNamed) {
  folder_.write(kFirstShard, read_file(folder_ / kFirstShard).substr(0, 100'000));
  expect_refused(AllOf(HasSubstr(kFirstShard), HasSubstr("cut short")));
}

TEST_F(ShardedCopy, SecondModelInTheFolderIsRefused) {
  std::filesystem::copy(folder_ / kFirstShard, folder_ / kModelFile);
  expect_refused(HasSubstr("holds both model.safetensors and model.safetensors.index.json"));
}

TEST_F(ShardedCopy, BadIndexIsRefused) {
  for (const auto& [text, what] :
       std::map<std::string, std::string>{{"{", "not JSON"},
                                          {"[]", "no object \"weight_map\""},
                                          {R"({"weight_map": 3})", "no object \"weight_map\""},
                                          {R"({"weight_map": {"a": 3}})", "the file of tensor 'a' is not a string"},
                                          {R"({"weight_map": {"a": "../x.safetensors"}})", "which is not a file name"},
                                          {R"({"weight_map": {"a": ""}})", "which is not a file name"}}) {
    folder_.write(kModelIndex, text);
    expect_refused(AllOf(HasSubstr(std::string(kModelIndex)), HasSubstr(what)));
  }
}

TEST_F(ShardedCopy, IndexKeepsItsMetadata) {
  ShardIndex read = read_shard_index(folder_ / kModelIndex);
  EXPECT_EQ(read.weight_map.size(), 83u);
  EXPECT_THAT(read.metadata, HasSubstr("total_size"));
}

TEST(ShardIndex, PlainAndUnusualSpellingsAreOne) {
  TemporaryFolder folder;
  for (const char* name : {"a.safetensors", R"(\u0061.safetensors)"}) {
    const std::string path = folder.write("index.json", fmt::format(R"({{"metadata": {{"total_size": 12, "by": "x"}},
      "weight_map": {{"w": "{}"}} }})",
                                                                    name));
    const ShardIndex index = read_shard_index(path);
    EXPECT_EQ(index.weight_map.at("w"), "a.safetensors");
    EXPECT_EQ(index.metadata, R"({"metadata":{"by":"x","total_size":12}})");
  }
  const std::string bare = folder.write("bare.json", R"({"weight_map":{}})");
  EXPECT_EQ(read_shard_index(bare).metadata, "{}");
}

}  // namespace
}  // namespace fathom
