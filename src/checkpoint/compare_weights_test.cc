#include "checkpoint/compare_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kLayouts = "tests/data/checkpoints/layouts/";

HostArray numbers(std::vector<int64_t> sizes, float first) {
  HostArray out = HostArray::allocate(DType::kF32, std::move(sizes));
  std::span<float> values = out.mutable_view<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i);
  return out;
}

std::string write_folder(const TemporaryFolder& folder, const std::string& name,
                         const std::map<std::string, HostArray>& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [tensor, array] : tensors) specs.push_back({tensor, array.dtype(), array.sizes()});
  plan_shards(specs, int64_t{1} << 40);
  SafetensorsWriter writer(folder / name, specs);
  for (const auto& [tensor, array] : tensors) writer.write(tensor, array);
  writer.finish();
  return folder / name;
}

TEST(StoredWeights, EveryFormatIsListed) {
  const StoredWeights folder = StoredWeights::open("tests/data/deepseek_v2/hf");
  EXPECT_EQ(folder.tensors().size(), 83U);
  EXPECT_EQ(folder.format(), WeightsFormat::kSafetensors);
  EXPECT_THAT(folder.find("lm_head.weight")->sizes, ElementsAre(1792, 64));
  EXPECT_EQ(folder.find("lm_head.weight")->bytes, 1792 * 64 * 4);
  EXPECT_EQ(folder.find("lm_head"), nullptr);
  const StoredWeights file = StoredWeights::open("tests/data/deepseek_v2/train_batch.safetensors");
  EXPECT_EQ(file.tensors().size(), 1U);
  const StoredWeights orbax = StoredWeights::open(std::string(kLayouts) + "plain_v2");
  EXPECT_EQ(orbax.format(), WeightsFormat::kOrbax);
  EXPECT_EQ(orbax.tensors().size(), 12U);
  EXPECT_THROW(StoredWeights::open("tests/data/nothing"), ConfigError);
  EXPECT_THROW(StoredWeights::open("tests/data/deepseek_v2"), ConfigError);
}

TEST(StoredWeights, PartIsThatOfTheWhole) {
  for (const std::string& path : {std::string("tests/data/deepseek_v2/hf"), kLayouts + std::string("grid_v3"),
                                  kLayouts + std::string("ocdbt_v3_inner")}) {
    const StoredWeights weights = StoredWeights::open(path);
    for (const StoredTensor& tensor : weights.tensors()) {
      if (tensor.sizes.size() < 2 || tensor.bytes > 100'000) continue;
      HostArray whole = HostArray::allocate(tensor.dtype, tensor.sizes);
      const ArraySlice all{std::vector<int64_t>(tensor.sizes.size(), 0), tensor.sizes};
      weights.read(tensor, all, {whole.mutable_data(), static_cast<size_t>(whole.bytes())});
      ArraySlice box = all;
      for (size_t i = 0; i < box.sizes.size(); ++i) {
        box.start[i] = box.sizes[i] / 3;
        box.sizes[i] = std::max<int64_t>(box.sizes[i] / 2, 1);
      }
      HostArray part = HostArray::allocate(tensor.dtype, box.sizes);
      weights.read(tensor, box, {part.mutable_data(), static_cast<size_t>(part.bytes())});
      const HostArray expected = cut(whole, box);
      EXPECT_EQ(std::memcmp(part.data(), expected.data(), static_cast<size_t>(part.bytes())), 0) << tensor.name;
    }
  }
}

TEST(CompareWeights, EachDifferenceIsALine) {
  TemporaryFolder folder;
  HostArray changed = numbers({8, 4}, 0);
  changed.mutable_view<float>()[22] = -1;
  changed.mutable_view<float>()[30] = -1;
  const StoredWeights a = StoredWeights::open(write_folder(folder, "a",
                                                           {{"same", numbers({3}, 1)},
                                                            {"gone", numbers({2}, 0)},
                                                            {"w", numbers({8, 4}, 0)},
                                                            {"s", numbers({4, 6}, 0)},
                                                            {"t", numbers({4}, 0)}}));
  const StoredWeights b = StoredWeights::open(write_folder(folder, "b",
                                                           {{"same", numbers({3}, 1)},
                                                            {"new", numbers({2}, 0)},
                                                            {"w", changed},
                                                            {"s", numbers({6, 4}, 0)},
                                                            {"t", convert(numbers({4}, 0), DType::kBF16)}}));
  const WeightsDifferences found = compare_weights(a, b);
  EXPECT_EQ(found.count, 5);
  EXPECT_EQ(found.bytes, 3 * 4 + 32 * 4);
  EXPECT_THAT(found.lines, ElementsAre("gone: only in " + a.path(), "new: only in " + b.path(),
                                       "s: shape [4, 6] in " + a.path() + ", [6, 4] in " + b.path(),
                                       "t: float32 in " + a.path() + ", bfloat16 in " + b.path(),
                                       "w: 2 of 32 elements differ, the first at [5, 2]"));
  EXPECT_EQ(compare_weights(a, a).count, 0);
}

TEST(CompareWeights, LinesAreBoundedAndCounted) {
  TemporaryFolder folder;
  std::map<std::string, HostArray> one, other;
  for (int i = 0; i < 120; ++i) {
    one.emplace(fmt::format("t{}", i), numbers({2}, 0));
    other.emplace(fmt::format("t{}", i), numbers({2}, 1));
  }
  const WeightsDifferences found = compare_weights(StoredWeights::open(write_folder(folder, "a", one)),
                                                   StoredWeights::open(write_folder(folder, "b", other)));
  EXPECT_EQ(found.count, 120);
  EXPECT_EQ(found.lines.size(), kListedDifferences);
}

// Written with other chunks, codecs and databases, the arrays of two layouts are the same where their values are.
TEST(CompareWeights, ChunksOfOrbaxDoNotMatter) {
  TemporaryFolder folder;
  std::filesystem::copy(std::string(kLayouts) + "grid_v3/items", folder / "a",
                        std::filesystem::copy_options::recursive);
  const StoredWeights a = StoredWeights::open(std::string(kLayouts) + "grid_v3");
  EXPECT_THAT(compare_weights(a, StoredWeights::open(folder / "a")).lines, IsEmpty());
  // The first chunk of an array that nothing codes.
  const std::string chunk = folder / "a/params.params.embedding/c/0/0";
  std::string bytes = read_file(chunk);
  bytes[9] = static_cast<char>(bytes[9] ^ 1);
  write_file_atomically(chunk, bytes);
  EXPECT_THAT(compare_weights(a, StoredWeights::open(folder / "a")).lines,
              ElementsAre("params.params.embedding: 1 of 144 elements differ, the first at [0, 2]"));
}

TEST(CompareWeights, BoxesCoverATensorInOrder) {
  const StoredTensor tensor{.name = "w", .dtype = DType::kF32, .sizes = {3, 5, 7}, .bytes = 420};
  for (int64_t bytes : {4, 20, 28, 100, 140, 1000}) {
    int64_t elements = 0;
    for (const ArraySlice& box : boxes_of(tensor, bytes)) {
      const SliceRuns runs(tensor.sizes, box);
      EXPECT_EQ(runs.count(), 1);
      EXPECT_EQ(runs.place(0), elements);
      EXPECT_LE(box.elements() * 4, bytes);
      elements += box.elements();
    }
    EXPECT_EQ(elements, 105);
  }
  EXPECT_THAT(boxes_of({.name = "none", .sizes = {3, 0}}, 100), IsEmpty());
  EXPECT_EQ(boxes_of({.name = "scalar", .bytes = 4}, 100).size(), 1U);
}

TEST(StoredWeights, NameATypeThatIsNoneOfOursAsTheFileDoes) {
  const StoredWeights weights = StoredWeights::open("tests/data/fp8/folder");
  std::set<std::string_view> types;
  for (const StoredTensor& tensor : weights.tensors()) types.insert(tensor.type);
  EXPECT_TRUE(types.contains("F8_E8M0"));
  EXPECT_TRUE(types.contains("float8_e4m3fn"));
  EXPECT_FALSE(types.contains("F8_E4M3"));
}

}  // namespace
}  // namespace fathom
