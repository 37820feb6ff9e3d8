#include "checkpoint/orbax_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/sha256_testing.h"

namespace fathom {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::string kData = "tests/data/checkpoints";

std::string text_of(const HostArray& array) {
  return {reinterpret_cast<const char*>(array.data()), static_cast<size_t>(array.bytes())};
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const FormatError& e) {
    return e.what();
  }
  return "no error";
}

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> out;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) out.push_back(entry.path().filename().string());
  }
  std::ranges::sort(out);
  return out;
}

std::string file_name(const testing::TestParamInfo<std::string>& info) { return info.param; }

class Layout : public testing::TestWithParam<std::string> {
 protected:
  std::string folder_ = kData + "/layouts/" + GetParam();
  Json listing_ = Json::parse(read_file(folder_ + "/listing.json"));
  std::string items_ = folder_ + "/" + listing_["items"].get<std::string>();
};

TEST_P(Layout, EveryArrayIsAsListed) {
  EXPECT_TRUE(OrbaxFolder::is_checkpoint(items_));
  const OrbaxFolder folder = OrbaxFolder::open(items_);
  EXPECT_EQ(folder.arrays().size(), listing_["arrays"].size());
  for (const Json& listed : listing_["arrays"]) {
    const StoredArray* array = folder.find(listed["path"].get<std::string>());
    ASSERT_NE(array, nullptr) << listed["path"];
    EXPECT_EQ(name(array->dtype), listed["dtype"].get<std::string>()) << array->name;
    EXPECT_EQ(array->sizes, listed["shape"].get<std::vector<int64_t>>()) << array->name;
    EXPECT_EQ(sha256(text_of(folder.whole(*array))), listed["sha256"].get<std::string>()) << array->name;
  }
  EXPECT_EQ(folder.empty(), listing_["empty"].get<std::vector<std::string>>());
}

TEST_P(Layout, OpensFromTheFolderAbove) {
  const std::string above = fs::path(items_).parent_path();
  EXPECT_TRUE(OrbaxFolder::is_checkpoint(above));
  EXPECT_EQ(fs::path(OrbaxFolder::open(above).path()), fs::path(items_));
}

// Boxes that are wanted arrive whole, each element once, whatever the chunks are.
TEST_P(Layout, PartsAreThoseOfTheWhole) {
  const OrbaxFolder folder = OrbaxFolder::open(items_);
  std::mt19937 random(7);
  for (const StoredArray& array : folder.arrays()) {
    const HostArray whole = folder.whole(array);
    const int64_t width = byte_size(array.dtype);
    for (int trial = 0; trial < 4; ++trial) {
      std::vector<ArraySlice> wanted(static_cast<size_t>(1 + trial % 2));
      for (ArraySlice& box : wanted) {
        for (int64_t size : array.sizes) {
          box.start.push_back(std::uniform_int_distribution<int64_t>(0, size - 1)(random));
          box.sizes.push_back(std::uniform_int_distribution<int64_t>(1, size - box.start.back())(random));
        }
      }
      std::vector<std::atomic<int>> seen(static_cast<size_t>(whole.elements()));
      folder.read(array, wanted, [&](const StoredPiece& piece) {
        const SliceRuns runs(array.sizes, *piece.box);
        for (int64_t i = piece.first; i < piece.first + piece.count; ++i) {
          const int64_t at = runs.place(i / runs.length()) + i % runs.length();
          ++seen[static_cast<size_t>(at)];
          EXPECT_EQ(std::memcmp(piece.data + (i - piece.first) * width, whole.data() + at * width,
                                static_cast<size_t>(width)),
                    0);
        }
      });
      for (const ArraySlice& box : wanted) {
        for_each_run(SliceRuns(array.sizes, box), 0, whole.elements(), [&](int64_t at, int64_t, int64_t count) {
          for (int64_t i = at; i < at + count; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], 1) << array.name;
        });
      }
      for (const std::atomic<int>& n : seen) EXPECT_LE(n, 1) << array.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orbax, Layout, testing::ValuesIn(folders_in(kData + "/layouts")), file_name);

class Scanned : public testing::TestWithParam<std::string> {};

TEST_P(Scanned, EveryArrayIsAsListed) {
  const std::string path = kData + "/scanned/" + GetParam();
  const Json listing = Json::parse(read_file(path + ".listing.json"));
  const OrbaxFolder folder = OrbaxFolder::open(path);
  EXPECT_EQ(folder.arrays().size(), listing["arrays"].size());
  for (const Json& listed : listing["arrays"]) {
    const StoredArray* array = folder.find(listed["name"].get<std::string>());
    ASSERT_NE(array, nullptr) << listed["name"];
    EXPECT_EQ(name(array->dtype), listed["dtype"].get<std::string>()) << array->name;
    EXPECT_EQ(array->sizes, listed["shape"].get<std::vector<int64_t>>()) << array->name;
    const HostArray numbers = convert(folder.whole(*array), DType::kF64);
    const std::span<const double> values = numbers.view<double>();
    for (size_t i = 0; i < listed["first"].size(); ++i) {
      EXPECT_EQ(static_cast<float>(values[i]), listed["first"][i].get<float>()) << array->name;
    }
    if (!listed.contains("last")) continue;
    EXPECT_EQ(static_cast<float>(values.back()), listed["last"].get<float>()) << array->name;
    double sum = 0, size = 0;
    for (double value : values) {
      sum += value;
      size += std::abs(value);
    }
    EXPECT_NEAR(sum, listed["sum"].get<double>(), 1e-6 * size) << array->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Orbax, Scanned, testing::ValuesIn(folders_in(kData + "/scanned")), file_name);

TEST(OrbaxFolder, LostChunkIsNoFillValue) {
  const std::string first = "opt_state.0.nu.embedding", second = "params.params.embedding";
  const std::map<std::string, std::vector<std::string>> lost = {
      {"missing_chunk_v2", {first, second}}, {"missing_chunk_v3", {"opt_state.0.mu.embedding", first, second}}};
  for (const auto& [name, arrays] : lost) {
    const OrbaxFolder folder = OrbaxFolder::open(kData + "/layouts_refused/" + name);
    for (const StoredArray& array : folder.arrays()) {
      const std::string message = message_of([&] { folder.whole(array); });
      const ArraySlice all{std::vector<int64_t>(array.sizes.size(), 0), array.sizes};
      const std::string read = message_of([&] { folder.read(array, std::span(&all, 1), [](const StoredPiece&) {}); });
      if (std::ranges::find(arrays, array.name) == arrays.end()) {
        EXPECT_EQ(message, "no error") << array.name;
        EXPECT_EQ(read, "no error") << array.name;
        continue;
      }
      for (const std::string& text : {message, read}) {
        EXPECT_THAT(text, HasSubstr("array '" + array.name + "'"));
        EXPECT_THAT(text, HasSubstr("part of the checkpoint is lost"));
      }
    }
  }
}

TEST(OrbaxFolder, WhatTheWriterSaidOfItsLayersIsThere) {
  EXPECT_EQ(OrbaxFolder::open(kData + "/scanned/converted_aug").scan_layers(), true);
  EXPECT_EQ(OrbaxFolder::open(kData + "/scanned/converted_aug/items/").scan_layers(), true);
  EXPECT_EQ(OrbaxFolder::open(kData + "/layouts/plain_v3").scan_layers(), std::nullopt);
}

TEST(OrbaxFolder, PathThatIsNoCheckpointSaysWhatThereIs) {
  auto message = [](const std::string& path) { return message_of([&] { OrbaxFolder::open(path); }); };
  EXPECT_THAT(message(kData + "/none"), HasSubstr("no such folder"));
  EXPECT_THAT(message(kData + "/layouts/manager_default"), HasSubstr("it holds checkpoints: name one of 3"));
  EXPECT_THAT(message("tests/data/deepseek_v3/hf"), HasSubstr("it is no Orbax checkpoint"));
  EXPECT_FALSE(OrbaxFolder::is_checkpoint("tests/data/deepseek_v3/hf"));
  EXPECT_FALSE(OrbaxFolder::is_checkpoint(kData + "/none"));
}

TEST(OrbaxFolder, UnfinishedCheckpointIsRefused) {
  TemporaryFolder folder;
  for (const char* name : {"0.orbax-checkpoint-tmp-17", "0.partial"}) {
    fs::copy(kData + "/layouts/plain_v3", folder / name, fs::copy_options::recursive);
    EXPECT_THAT(message_of([&] { OrbaxFolder::open(folder / name); }), HasSubstr("has not finished it"));
  }
}

TEST(OrbaxFolder, TwoTreesAreNamed) {
  TemporaryFolder folder;
  for (const char* name : {"model", "ema"}) {
    fs::copy(kData + "/layouts/plain_v3/items", folder / name, fs::copy_options::recursive);
  }
  EXPECT_THAT(message_of([&] { OrbaxFolder::open(folder.path()); }),
              HasSubstr("it holds several checkpoint trees: name one of ema, model"));
}

// An array of 600 chunks, each a file.
void write_many_chunks(const TemporaryFolder& folder) {
  folder.write("_METADATA", R"({"tree_metadata":{"w":{"key_metadata":[{"key":"w","key_type":2}],"value_metadata":)"
                            R"({"value_type":"jax.Array","skip_deserialize":false}},"note":{"key_metadata":)"
                            R"([{"key":"note"}],"value_metadata":{"value_type":"string","skip_deserialize":false}}},)"
                            R"("use_ocdbt":false})");
  folder.write("w/.zarray", R"({"chunks":[1],"compressor":null,"dtype":">i4","fill_value":null,"filters":null,)"
                            R"("order":"C","shape":[600],"zarr_format":2})");
  for (int i = 0; i < 600; ++i) {
    folder.write(fmt::format("w/{}", i),
                 std::string{'\0', '\0', static_cast<char>(i / 256), static_cast<char>(i % 256)});
  }
}

TEST(OrbaxFolder, MoreChunksThanAProcessMayOpenFilesAreRead) {
  TemporaryFolder folder;
  write_many_chunks(folder);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 200, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const OrbaxFolder orbax = OrbaxFolder::open(folder.path());
  const std::string message = message_of([&] {
    const HostArray whole = orbax.whole(orbax.arrays()[0]);
    for (int i = 0; i < 600; ++i) EXPECT_EQ(whole.view<int32_t>()[static_cast<size_t>(i)], i);
  });
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(message, "no error");
  EXPECT_EQ(orbax.arrays().size(), 1U);
}

}  // namespace
}  // namespace fathom
