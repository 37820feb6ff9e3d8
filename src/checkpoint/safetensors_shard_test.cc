#include "checkpoint/safetensors_shard.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel_for.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

using Found = SafetensorsShard::Found;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<TensorSpec> some_tensors() {
  return {{.name = "bytes", .dtype = DType::kU8, .sizes = {1000}},
          {.name = "wide", .dtype = DType::kF32, .sizes = {10, 25}},
          {.name = "exponents", .dtype = DType::kU8, .sizes = {3}, .file = {}, .type = "F8_E8M0"}};
}

std::byte byte_at(size_t i) { return static_cast<std::byte>(i * 7 + i / 256); }

void write_all(SafetensorsShard& shard) {
  shard.begin();
  std::vector<std::byte> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte_at(i);
  parallel_for(100, [&](int64_t i) {
    shard.write("bytes", i * 10, std::span(bytes).subspan(static_cast<size_t>(i) * 10, 10));
    shard.write("wide", 990 - i * 10, std::span(bytes).subspan(static_cast<size_t>(990 - i * 10), 10));
  });
  shard.write("exponents", 0, std::span(bytes).first(3));
  shard.finish();
}

TEST(SafetensorsShard, PartsFromManyThreadsMakeTheFile) {
  TemporaryFolder folder;
  SafetensorsShard shard(folder / "x.safetensors", some_tensors(), {{"format", "pt"}});
  write_all(shard);
  const auto file = SafetensorsFile::open(folder / "x.safetensors");
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(folder / "x.safetensors")), shard.bytes());
  EXPECT_EQ(file->find("exponents")->type, "F8_E8M0");
  EXPECT_EQ(file->find("exponents")->dtype, DType::kU8);
  EXPECT_EQ(file->find("wide")->type, "F32");
  for (const char* name : {"bytes", "wide"}) {
    const HostArray array = file->tensor(name);
    for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(array.data()[i], byte_at(i)) << name << i;
  }
}

// Only what has the same header may be kept by a restart.
TEST(SafetensorsShard, KnowsAnAttemptOfBeforeFromAnotherFile) {
  TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  SafetensorsShard shard(path, some_tensors(), {{"source", "a"}});
  EXPECT_EQ(shard.found(), Found::kNothing);
  write_all(shard);
  EXPECT_EQ(shard.found(), Found::kWhole);
  EXPECT_EQ(SafetensorsShard(path, some_tensors(), {{"source", "b"}}).found(), Found::kOther);
  std::filesystem::resize_file(path, static_cast<uintmax_t>(shard.bytes() - 1));
  EXPECT_EQ(shard.found(), Found::kCutShort);
  std::filesystem::resize_file(path, 5);
  EXPECT_EQ(shard.found(), Found::kCutShort);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_EQ(shard.found(), Found::kOther);
}

TEST(SafetensorsShard, HolesAndOverlapsAreFaultsOfTheCaller) {
  TemporaryFolder folder;
  SafetensorsShard shard(folder / "x.safetensors", {{.name = "a", .dtype = DType::kU8, .sizes = {4}}}, {});
  shard.begin();
  const std::byte four[4] = {};
  EXPECT_THROW(shard.write("a", 1, four), std::invalid_argument);
  EXPECT_THROW(shard.write("b", 0, four), std::invalid_argument);
  shard.write("a", 0, std::span(four).first(3));
  EXPECT_THAT([&] { shard.finish(); }, ThrowsMessage<std::logic_error>(HasSubstr("not written: a")));
  shard.write("a", 3, std::span(four).first(1));
  shard.finish();
  EXPECT_TRUE(std::filesystem::exists(folder / "x.safetensors"));
}

}  // namespace
}  // namespace fathom
