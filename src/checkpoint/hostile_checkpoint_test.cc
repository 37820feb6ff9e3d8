// Checkpoints with bytes that are not what they should be: each is read whole or is one FormatError.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <atomic>
#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/ocdbt_testing.h"
#include "checkpoint/orbax_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kLayouts = "tests/data/checkpoints/layouts/";
// A loader knows the shape it wants; the tests know that of their files.
constexpr int64_t kSmall = int64_t{64} << 20;

// Opens a folder and reads all of its arrays. The message of the error, or nothing.
std::string fault(const std::string& path) {
  try {
    const OrbaxFolder folder = OrbaxFolder::open(path);
    for (const StoredArray& array : folder.arrays()) {
      if (array.bytes() > kSmall) continue;
      folder.whole(array);
      std::atomic<int64_t> elements{0};
      const ArraySlice all{std::vector<int64_t>(array.sizes.size(), 0), array.sizes};
      folder.read(array, std::span(&all, 1), [&](const StoredPiece& piece) { elements += piece.count; });
      EXPECT_EQ(elements, all.elements());
    }
    return "";
  } catch (const FormatError& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
}

class Mutations {
 public:
  explicit Mutations(unsigned seed) : random_(seed) {}

  std::string mutated(std::string text) {
    if (text.empty()) return "x";
    const size_t at = below(text.size());
    switch (below(7)) {
      case 0:  // a bit
        text[at] = static_cast<char>(static_cast<uint8_t>(text[at]) ^ 1U << below(8));
        return text;
      case 1:  // cut short
        return text.substr(0, at);
      case 2:  // a part is missing
        return text.erase(at, 1 + below(8));
      case 3:  // a part stands twice
        return text.insert(at, text.substr(at, 1 + below(32)));
      case 4:  // a number that lies
        for (size_t i = at; i < std::min(at + 8, text.size()); ++i) text[i] = '\xff';
        return text;
      case 5:  // another number in a text
        return with_digits(text, at);
      default:  // brackets
        return text.insert(at, std::string(1 + below(200), below(2) == 0 ? '[' : '{'));
    }
  }
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

 private:
  std::string with_digits(std::string text, size_t at) {
    static const std::string kNumbers[] = {"-1",    "0",      "1",   "4294967296", "99999999999999999999",
                                           "1e300", "123456", "null"};
    const size_t begin = text.find_first_of("0123456789", at);
    if (begin == std::string::npos) return text.substr(0, at);
    const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    return text.replace(begin, end - begin, kNumbers[below(std::size(kNumbers))]);
  }

  std::mt19937 random_;
};

class Hostile : public testing::TestWithParam<std::string> {};

TEST_P(Hostile, NoWrongByteDoesMoreThanAnError) {
  TemporaryFolder folder;
  fs::copy(kLayouts + GetParam(), folder / "0", fs::copy_options::recursive);
  ASSERT_EQ(fault(folder / "0"), "");
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "0")) {
    if (entry.is_regular_file() && entry.path().filename() != "listing.json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  Mutations mutations(static_cast<unsigned>(std::hash<std::string>{}(GetParam())));
  int refused = 0;
  for (int trial = 0; trial < 120; ++trial) {
    const std::string& file = files[mutations.below(files.size())];
    const std::string whole = read_file(file);
    std::ofstream(file, std::ios::binary) << mutations.mutated(whole);
    refused += fault(folder / "0").empty() ? 0 : 1;
    std::ofstream(file, std::ios::binary) << whole;
  }
  EXPECT_GT(refused, 5);  // some files are of older versions of a database, or other readers'
  EXPECT_EQ(fault(folder / "0"), "");
}

INSTANTIATE_TEST_SUITE_P(Orbax, Hostile,
                         testing::Values("ocdbt_v3_inner", "ocdbt_v2_chunks", "grid_v3", "grid_v2", "absent_v3",
                                         "absent_v2", "manager_default/3"),
                         [](const auto& info) { return info.param.substr(0, info.param.find('/')); });

// A checkpoint of one array "w" of [4, 4] float32 in one chunk, all in one OCDBT leaf.
class HostileArray : public testing::Test {
 protected:
  static std::string tree(const std::string& name = "w") {
    return R"({"tree_metadata":{"w":{"key_metadata":[{"key":")" + name +
           R"(","key_type":2}],"value_metadata":{"value_type":"jax.Array","skip_deserialize":false}}},)"
           R"("use_ocdbt":true,"use_zarr3":true,"store_array_data_equal_to_fill_value":true})";
  }
  static std::string array(const std::string& codecs, const std::string& shape = "[4,4]") {
    return R"({"chunk_grid":{"configuration":{"chunk_shape":)" + shape +
           R"(},"name":"regular"},"chunk_key_encoding":{"name":"default"},"codecs":)" + codecs +
           R"(,"data_type":"float32","fill_value":0.0,"node_type":"array","shape":)" + shape + R"(,"zarr_format":3})";
  }
  std::string fault_of(const std::string& metadata, const std::string& chunk) const {
    write_ocdbt(folder_, {{"w/c/0/0", chunk}, {"w/zarr.json", metadata}});
    folder_.write("_METADATA", tree());
    return fault(folder_.path());
  }

  static constexpr const char* kBytes = R"([{"name":"bytes","configuration":{"endian":"little"}}])";
  static constexpr const char* kZstd =
      R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{}}])";
  static constexpr const char* kSharded =
      R"([{"name":"sharding_indexed","configuration":{"chunk_shape":[2,4],"codecs":[{"name":"bytes","configuration":)"
      R"({"endian":"little"}}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}]}}])";
  TemporaryFolder folder_;
};

std::string packed(size_t bytes) {
  const std::string zeros(bytes, '\0');
  std::string out(ZSTD_compressBound(bytes), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), zeros.data(), bytes, 1));
  return out;
}

TEST_F(HostileArray, ChunkOfAnotherSizeIsRefused) {
  EXPECT_EQ(fault_of(array(kBytes), std::string(64, 'x')), "");
  EXPECT_THAT(fault_of(array(kBytes), std::string(63, 'x')),
              AllOf(HasSubstr("array 'w', chunk c/0/0"), HasSubstr("63 bytes long, not the 64")));
  EXPECT_THAT(fault_of(array(kBytes), std::string(65, 'x')), HasSubstr("65 bytes long, not the 64"));
  EXPECT_EQ(fault_of(array(kZstd), packed(64)), "");
  EXPECT_THAT(fault_of(array(kZstd), packed(60)), HasSubstr("it decodes to 60 bytes, not the 64"));
  EXPECT_THAT(fault_of(array(kZstd), packed(65)), HasSubstr("it decodes to more than the 64 bytes"));
}

TEST_F(HostileArray, BombIsRefusedAsSoonAsItIsTooLong) {
  EXPECT_THAT(fault_of(array(kZstd), packed(size_t{100} << 20)), HasSubstr("it decodes to more than the 64 bytes"));
}

TEST_F(HostileArray, ChunkThatIsNotThereIsLost) {
  write_ocdbt(folder_, {{"w/zarr.json", array(kBytes)}});
  folder_.write("_METADATA", tree());
  EXPECT_THAT(fault(folder_.path()), AllOf(HasSubstr("array 'w'"), HasSubstr("c/0/0"), HasSubstr("is lost")));
}

TEST_F(HostileArray, IndexOfAShardThatLiesIsRefused) {
  auto shard = [](const std::vector<uint64_t>& index) {
    std::string out(64, 'x');
    for (uint64_t n : index) append_little_endian(out, n, 8);
    return out;
  };
  EXPECT_EQ(fault_of(array(kSharded), shard({0, 32, 32, 32})), "");
  EXPECT_THAT(fault_of(array(kSharded), shard({0, 32, 90, 32})),
              AllOf(HasSubstr("chunk c/0/0 (inner 1/0)"), HasSubstr("32 bytes from byte 90 on of a shard of 96")));
  EXPECT_THAT(fault_of(array(kSharded), shard({0, 32, UINT64_MAX - 3, 32})), HasSubstr("of a shard of 96"));
  EXPECT_THAT(fault_of(array(kSharded), shard({0, 32, 0, 16})), HasSubstr("16 bytes long, not the 32"));
  EXPECT_THAT(fault_of(array(kSharded), shard({0, 32, UINT64_MAX, UINT64_MAX})), HasSubstr("is lost"));
  EXPECT_THAT(fault_of(array(kSharded), std::string(20, 'x')), HasSubstr("too few for its index of 32"));
}

TEST_F(HostileArray, ArrayLargerThanTheMachineIsRefusedBeforeItsMemoryIsTaken) {
  const std::string huge = array(kZstd, "[1000000000,4000000]");
  write_ocdbt(folder_, {{"w/c/0/0", packed(64)}, {"w/zarr.json", huge}});
  folder_.write("_METADATA", tree());
  const OrbaxFolder folder = OrbaxFolder::open(folder_.path());
  EXPECT_THROW(folder.whole(folder.arrays()[0]), FormatError);
}

TEST_F(HostileArray, NamesThatLeaveTheFolderAreNotRead) {
  TemporaryFolder outside;
  outside.write("stolen/zarr.json", array(kBytes));
  outside.write("folder/_METADATA", [] {
    std::string text = tree("../stolen");
    return text.replace(text.find("\"use_ocdbt\":true"), 16, "\"use_ocdbt\":false");
  }());
  EXPECT_THAT(fault(outside / "folder"), HasSubstr("it names arrays that are not stored: ../stolen"));
}

TEST_F(HostileArray, TreeThatIsNotOneIsRefused) {
  auto message = [&](const std::string& text) {
    folder_.write("_METADATA", text);
    return fault(folder_.path());
  };
  write_ocdbt(folder_, {{"w/c/0/0", std::string(64, 'x')}, {"w/zarr.json", array(kBytes)}});
  EXPECT_EQ(message(tree()), "");
  EXPECT_THAT(message(tree("v")), HasSubstr("it names arrays that are not stored: v"));
  EXPECT_THAT(message("{}"), HasSubstr("it has no tree_metadata"));
  EXPECT_THAT(message("[1,2"), HasSubstr("at byte 4: not JSON"));
  EXPECT_THAT(message(std::string(100'000, '[')), HasSubstr("at byte 100: more than 100 JSON lists"));
  const std::string entry = tree().substr(18, tree().find("}},\"use_ocdbt\"") - 17);
  EXPECT_THAT(message("{\"tree_metadata\":{" + entry + "," + entry + "}}"), HasSubstr("stands twice"));
  EXPECT_THAT(message(R"({"tree_metadata":{"w":{"value_metadata":{}}}})"), HasSubstr("has no list key_metadata"));
  EXPECT_THAT(message(R"({"tree_metadata":{},"use_zarr3":"yes"})"), HasSubstr("use_zarr3 is not true or false"));
}

}  // namespace
}  // namespace fathom
