#include "checkpoint/safetensors_writer.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;
using testing::UnorderedElementsAre;

std::vector<std::string> files_in(const TemporaryFolder& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    out.push_back(entry.path().filename().string());
  }
  return out;
}

HostArray numbers(DType dtype, std::vector<int64_t> sizes, int first) {
  HostArray out = HostArray::allocate(dtype, std::move(sizes));
  for (int64_t i = 0; i < out.bytes(); ++i) out.mutable_data()[i] = static_cast<std::byte>(first + i);
  return out;
}

void expect_same(const HostArray& a, const HostArray& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())), 0);
}

TEST(SafetensorsWriter, ModelComesBackInShardsAsItWas) {
  TensorFolder model = TensorFolder::open("tests/data/deepseek_v2/hf");
  std::vector<TensorSpec> specs;
  for (const std::string& name : model.names()) {
    specs.push_back({.name = name, .dtype = model.find(name)->dtype, .sizes = model.find(name)->sizes});
  }
  ASSERT_TRUE(plan_shards(specs, 1'000'000));
  TemporaryFolder folder;
  SafetensorsWriter writer(folder.path(), specs, {.index = true});
  // Backwards: the order of the calls must not matter.
  for (auto it = specs.rbegin(); it != specs.rend(); ++it) writer.write(it->name, model.tensor(it->name));
  writer.finish();

  EXPECT_THAT(files_in(folder),
              UnorderedElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                   "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  TensorFolder copy = TensorFolder::open(folder.path());
  EXPECT_EQ(copy.names(), model.names());
  for (const std::string& name : model.names()) expect_same(copy.tensor(name), model.tensor(name));
  EXPECT_THAT(read_shard_index(folder / kModelIndex).metadata, HasSubstr("\"total_size\":2081920"));
}

TEST(SafetensorsWriter, MixedTypesAreAlignedInTheFile) {
  TemporaryFolder folder;
  std::map<std::string, HostArray> tensors = {{"a", numbers(DType::kU8, {3}, 1)},
                                              {"b", numbers(DType::kF64, {2}, 5)},
                                              {"c", numbers(DType::kBF16, {1, 3}, 7)},
                                              {"empty", numbers(DType::kF32, {0, 4}, 0)},
                                              {"scalar", numbers(DType::kF32, {}, 9)}};
  write_safetensors(folder / "x.safetensors", tensors, {{"kind", "test"}});
  auto file = SafetensorsFile::open(folder / "x.safetensors");
  EXPECT_EQ(file->metadata().at("kind"), "test");
  EXPECT_EQ(file->find("b")->offset % 64, 0);
  for (const auto& [name, array] : tensors) {
    expect_same(file->tensor(name), array);
    EXPECT_EQ(file->find(name)->offset % byte_size(array.dtype()), 0) << name;
  }
}

TEST(SafetensorsWriter, NamesThatNeedEscapesComeBack) {
  TemporaryFolder folder;
  std::string name = "quote\" back\\slash \xe4\xb8\x80";
  write_safetensors(folder / "x.safetensors", {{name, numbers(DType::kU8, {1}, 1)}});
  EXPECT_THAT(SafetensorsFile::open(folder / "x.safetensors")->names(), ElementsAre(name));
}

TEST(SafetensorsWriter, PlanKeepsToTheLimit) {
  auto spec = [](const char* name, int64_t bytes) {
    return TensorSpec{.name = name, .dtype = DType::kU8, .sizes = {bytes}};
  };
  std::vector<TensorSpec> tensors = {spec("a", 6), spec("b", 4), spec("c", 1), spec("huge", 25), spec("d", 0)};
  EXPECT_TRUE(plan_shards(tensors, 10));
  std::vector<std::string> files;
  for (const TensorSpec& t : tensors) files.push_back(t.file.substr(0, 11));
  EXPECT_THAT(files, ElementsAre("model-00001", "model-00001", "model-00002", "model-00003", "model-00004"));
  EXPECT_FALSE(plan_shards(tensors, 1000));
  EXPECT_EQ(tensors[4].file, "model.safetensors");
}

TEST(SafetensorsWriter, UnfinishedModelLeavesNothing) {
  TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder.path(), {{.name = "a", .sizes = {2}, .file = "model.safetensors"}});
    EXPECT_FALSE(files_in(folder).empty());
    EXPECT_THAT([&] { writer.finish(); }, ThrowsMessage<std::logic_error>(HasSubstr("not written: a")));
  }
  EXPECT_THAT(files_in(folder), IsEmpty());
}

TEST(SafetensorsWriter, EarlierModelInTheFolderIsReplaced) {
  TemporaryFolder folder;
  HostArray value = numbers(DType::kU8, {4}, 1);
  std::vector<TensorSpec> specs = {{.name = "a", .dtype = DType::kU8, .sizes = {4}},
                                   {.name = "b", .dtype = DType::kU8, .sizes = {4}}};
  folder.write("config.json", "{}");
  for (int64_t limit : {4, 100, 4}) {
    bool index = plan_shards(specs, limit);
    SafetensorsWriter writer(folder.path(), specs, {.index = index});
    for (const TensorSpec& spec : specs) writer.write(spec.name, value);
    writer.finish();
    EXPECT_EQ(TensorFolder::open(folder.path()).names().size(), 2u);
  }
  EXPECT_THAT(files_in(folder),
              UnorderedElementsAre("config.json", "model-00001-of-00002.safetensors",
                                   "model-00002-of-00002.safetensors", "model.safetensors.index.json"));
}

TEST(SafetensorsWriter, WhatWasNotAnnouncedIsRefused) {
  TemporaryFolder folder;
  std::vector<TensorSpec> specs = {{.name = "a", .dtype = DType::kU8, .sizes = {4}, .file = "model.safetensors"}};
  SafetensorsWriter writer(folder.path(), specs);
  EXPECT_THROW(writer.write("b", numbers(DType::kU8, {4}, 0)), std::invalid_argument);
  EXPECT_THROW(writer.write("a", numbers(DType::kS8, {4}, 0)), std::invalid_argument);
  EXPECT_THROW(writer.write("a", numbers(DType::kU8, {2, 2}, 0)), std::invalid_argument);
  writer.write("a", numbers(DType::kU8, {4}, 0));
  EXPECT_THROW(writer.write("a", numbers(DType::kU8, {4}, 0)), std::invalid_argument);

  specs.push_back(specs[0]);
  EXPECT_THROW(SafetensorsWriter(folder.path(), specs), std::invalid_argument);
  specs[1] = {.name = "b", .file = "other.safetensors"};
  EXPECT_THROW(SafetensorsWriter(folder.path(), specs), std::invalid_argument);
  EXPECT_THROW(SafetensorsWriter(folder.path(), {}), std::invalid_argument);
  EXPECT_THROW(SafetensorsWriter("gs://bucket/model", {specs[0]}), ConfigError);
}

TEST(SafetensorsWriter, UnwritableFolderIsAFault) {
  TemporaryFolder folder;
  folder.write("file", "");
  EXPECT_THAT(
      [&] {
        write_safetensors(folder / "file/x.safetensors", {{"a", numbers(DType::kU8, {1}, 1)}});
      },
      ThrowsMessage<RuntimeFault>(HasSubstr("file")));
}

}  // namespace
}  // namespace fathom
