#include "checkpoint/orbax_writer.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <thread>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;

using Place = std::vector<int64_t>;

// Path, of files below a folder.
std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> out;
  if (!fs::exists(folder)) return out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) out.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Bytes first, first + 1, ...
std::vector<std::byte> bytes(int count, int first = 0) {
  std::vector<std::byte> out(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out[static_cast<size_t>(i)] = static_cast<std::byte>(first + i);
  return out;
}

StoredArraySpec array(std::string name, Place sizes, Place chunk, Place inner = {}) {
  return {.path = {std::move(name)},
          .dtype = DType::kU8,
          .sizes = std::move(sizes),
          .chunk = std::move(chunk),
          .inner = std::move(inner)};
}

// A file for each chunk, nothing packed: what lies in them can be read here.
OrbaxOptions plain() { return {.ocdbt = false, .compress = false}; }

TEST(OrbaxWriter, ChunkOfAnOlderZarrIsItsBytes) {
  TemporaryFolder folder;
  OrbaxOptions options = plain();
  options.zarr3 = false;
  OrbaxWriter writer(folder / "0", {array("a", {3, 4}, {2, 4}), array("b", {}, {})}, options);
  writer.write(0, Place{1, 0}, bytes(8, 8));
  writer.write(0, Place{0, 0}, bytes(8));
  writer.write(1, Place{}, bytes(1, 77));
  writer.finish();
  EXPECT_EQ(read_file(folder / "0/items/a/0.0"), std::string({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(read_file(folder / "0/items/a/1.0"), std::string({8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(read_file(folder / "0/items/b/0"), "M");
  EXPECT_THAT(read_file(folder / "0/items/a/.zarray"), HasSubstr(R"("compressor":null)"));
  EXPECT_THAT(files_in(folder.path()),
              ElementsAre("0/_CHECKPOINT_METADATA", "0/commit_success.txt", "0/items/_METADATA", "0/items/a/.zarray",
                          "0/items/a/0.0", "0/items/a/1.0", "0/items/array_metadatas/process_0", "0/items/b/.zarray",
                          "0/items/b/0", "0/items/commit_success.txt"));
}

// The bytes of a shard: its inner chunks, their places, the checksum of these.
std::string shard(const std::vector<std::string>& inner) {
  std::string out, index;
  for (const std::string& chunk : inner) {
    append_little_endian(index, out.size(), 8);
    append_little_endian(index, chunk.size(), 8);
    out += chunk;
  }
  append_little_endian(index, crc32c(index), 4);
  return out + index;
}

TEST(OrbaxWriter, InnerChunksAreCutOutOfEveryAxis) {
  // All elements of a chunk 4 x 6 x 4, cut to inner chunks; each beside the loops that say it straight.
  for (const Place& inner : std::vector<Place>{{4, 6, 4}, {1, 6, 4}, {1, 2, 4}, {4, 3, 4}, {2, 6, 2}, {2, 3, 1}}) {
    SCOPED_TRACE(testing::PrintToString(inner));
    TemporaryFolder folder;
    OrbaxWriter writer(folder / "0", {array("a", {4, 6, 4}, {4, 6, 4}, inner)}, plain());
    const std::vector<std::byte> elements = bytes(96);
    writer.write(0, Place{0, 0, 0}, elements);
    writer.finish();
    std::vector<std::string> chunks;
    for (int64_t x = 0; x < 4; x += inner[0]) {
      for (int64_t y = 0; y < 6; y += inner[1]) {
        for (int64_t z = 0; z < 4; z += inner[2]) {
          std::string& chunk = chunks.emplace_back();
          for (int64_t i = x; i < x + inner[0]; ++i) {
            for (int64_t j = y; j < y + inner[1]; ++j) {
              for (int64_t k = z; k < z + inner[2]; ++k) chunk += static_cast<char>((i * 6 + j) * 4 + k);
            }
          }
        }
      }
    }
    EXPECT_EQ(read_file(folder / "0/items/a/c/0/0/0"), shard(chunks));
  }
}

TEST(OrbaxWriter, NothingHasItsNameBeforeAllIsThere) {
  TemporaryFolder folder;
  OrbaxWriter writer(folder / "out/0", {array("a", {2}, {1}), array("b", {1}, {1})});
  writer.write(0, Place{0}, bytes(1));
  EXPECT_THAT([&] { writer.finish(); },
              ThrowsMessage<std::logic_error>("not written: a (1 of 2 chunks), b (1 of 1 chunks)"));
  EXPECT_FALSE(fs::exists(folder / "out/0"));
  writer.write(0, Place{1}, bytes(1));
  writer.write(1, Place{0}, bytes(1));
  EXPECT_FALSE(fs::exists(folder / "out/0"));
  writer.finish();
  EXPECT_TRUE(fs::exists(folder / "out/0/commit_success.txt"));
  EXPECT_FALSE(fs::exists(folder / "out/0.partial"));
}

TEST(OrbaxWriter, AttemptThatEndedIsGoneOnWith) {
  for (bool ocdbt : {true, false}) {
    SCOPED_TRACE(ocdbt);
    TemporaryFolder folder;
    OrbaxOptions options = plain();
    options.ocdbt = ocdbt;
    const std::vector<StoredArraySpec> arrays = {array("a", {3 * 4000}, {4000}), array("small", {2}, {2})};
    {
      OrbaxWriter writer(folder / "0", arrays, options);
      writer.write(0, Place{1}, bytes(4000, 1));
      writer.write(1, Place{0}, bytes(2, 5));
    }
    EXPECT_FALSE(fs::exists(folder / "0"));
    {
      OrbaxWriter writer(folder / "0", arrays, options);
      EXPECT_FALSE(writer.has(0, Place{0}));
      EXPECT_TRUE(writer.has(0, Place{1}));
      EXPECT_TRUE(writer.has(1, Place{0}));
      EXPECT_THAT([&] { writer.write(0, Place{1}, bytes(4000)); },
                  ThrowsMessage<std::invalid_argument>(HasSubstr("twice")));
      writer.write(0, Place{0}, bytes(4000));
    }
    OrbaxWriter writer(folder / "0", arrays, options);
    EXPECT_TRUE(writer.has(0, Place{0}));
    EXPECT_TRUE(writer.has(0, Place{1}));
    EXPECT_FALSE(writer.has(0, Place{2}));
    writer.write(0, Place{2}, bytes(4000, 2));
    writer.finish();
    EXPECT_FALSE(fs::exists(folder / "0.partial"));
    if (ocdbt) continue;
    EXPECT_EQ(read_file(folder / "0/items/a/c/1").substr(0, 3), "\1\2\3");
    EXPECT_EQ(read_file(folder / "0/items/a/c/2").substr(0, 3), "\2\3\4");
    EXPECT_EQ(read_file(folder / "0/items/small/c/0").substr(0, 2), "\5\6");
  }
}

TEST(OrbaxWriter, AttemptOfAnotherSourceOrFormIsNot) {
  const std::vector<StoredArraySpec> arrays = {array("a", {2}, {1}, {1})};
  for (int other = 0; other < 4; ++other) {
    SCOPED_TRACE(other);
    TemporaryFolder folder;
    {
      OrbaxWriter writer(folder / "0", arrays, {.source = "one"});
      writer.write(0, Place{0}, bytes(1));
    }
    OrbaxOptions options = {.compress = other != 1, .source = other == 0 ? "two" : "one"};
    std::vector<StoredArraySpec> now = arrays;
    if (other == 2) now[0].dtype = DType::kS8;
    if (other == 3) now[0].path = {"b"};
    OrbaxWriter writer(folder / "0", now, options);
    EXPECT_FALSE(writer.has(0, Place{0}));
    EXPECT_THAT(files_in(folder / "0.partial"), ElementsAre("journal"));
  }
}

TEST(OrbaxWriter, WhatIsNotWholeIsTakenOutOfTheAttempt) {
  TemporaryFolder folder;
  const std::vector<StoredArraySpec> arrays = {array("a", {3 * 2000}, {2000})};
  {
    OrbaxWriter writer(folder / "0", arrays);
    for (int64_t i = 0; i < 2; ++i) writer.write(0, Place{i}, std::vector<std::byte>(2000, std::byte(i)));
  }
  // A line that was cut off, a file that nobody knows and one that is too short.
  const std::string journal = read_file(folder / "0.partial/journal");
  folder.write("0.partial/journal", journal.substr(0, journal.size() - 3));
  folder.write("0.partial/whole/items/ocdbt.process_0/d/unknown", "x");
  {
    OrbaxWriter writer(folder / "0", arrays);
    EXPECT_TRUE(writer.has(0, Place{0}));
    EXPECT_FALSE(writer.has(0, Place{1}));
    EXPECT_FALSE(fs::exists(folder / "0.partial/whole/items/ocdbt.process_0/d/unknown"));
  }
  fs::remove_all(folder / "0.partial/whole");
  OrbaxWriter writer(folder / "0", arrays);
  EXPECT_TRUE(writer.has(0, Place{0})) << "a chunk of a few bytes lies in the journal";
}

TEST(OrbaxWriter, FailureLeavesNoFolder) {
  TemporaryFolder folder;
  { OrbaxWriter writer(folder / "some/where/0", {array("a", {1}, {1})}); }
  EXPECT_THAT(files_in(folder.path()), IsEmpty());
  EXPECT_FALSE(fs::exists(folder / "some"));
}

TEST(OrbaxWriter, FolderThatIsTakenIsRefused) {
  TemporaryFolder folder;
  const std::vector<StoredArraySpec> arrays = {array("a", {1}, {1})};
  folder.write("0/file", "mine");
  EXPECT_THAT(
      [&] { OrbaxWriter(folder / "0/", arrays); },
      ThrowsMessage<ConfigError>(folder / "0" + ": there is something already; name another folder, or remove it"));
  EXPECT_THAT(files_in(folder.path()), ElementsAre("0/file"));
  EXPECT_THAT([&] { OrbaxWriter(folder / "0/file", arrays); },
              ThrowsMessage<ConfigError>(HasSubstr("something already")));
  EXPECT_THAT([&] { OrbaxWriter(folder / "0/file/1", arrays); },
              ThrowsMessage<ConfigError>(HasSubstr("0/file/1.partial: cannot make the folder")));

  OrbaxWriter first(folder / "1", arrays);
  EXPECT_THAT([&] { OrbaxWriter(folder / "1", arrays); },
              ThrowsMessage<ConfigError>(HasSubstr("another process writes")));
  first.write(0, Place{0}, bytes(1));
  first.finish();
  EXPECT_TRUE(fs::exists(folder / "1/commit_success.txt"));

  // An attempt that ended between its folder's name and its own end.
  fs::create_directories(folder / "1.partial");
  folder.write("1.partial/journal", "");
  EXPECT_THAT([&] { OrbaxWriter(folder / "1", arrays); }, ThrowsMessage<ConfigError>(HasSubstr("something already")));
  EXPECT_FALSE(fs::exists(folder / "1.partial"));

  fs::create_directories(folder / "empty");
  OrbaxWriter into(folder / "empty", arrays);
  into.write(0, Place{0}, bytes(1));
  into.finish();
  EXPECT_TRUE(fs::exists(folder / "empty/commit_success.txt"));
}

TEST(OrbaxWriter, ArraysThatMakeNoTreeOrGridAreRefused) {
  TemporaryFolder folder;
  auto refused = [&](std::vector<StoredArraySpec> arrays, const std::string& why) {
    EXPECT_THAT([&] { OrbaxWriter(folder / "0", arrays); }, ThrowsMessage<std::invalid_argument>(HasSubstr(why)));
  };
  refused({}, "no arrays");
  refused({array("a", {1}, {1}), array("a", {1}, {1})}, "'a' and 'a' in one tree");
  refused({array("opt_state", {1}, {1})}, "'opt_state' and 'opt_state' in one tree");
  StoredArraySpec below = array("a", {1}, {1});
  below.path = {"a", "b"};
  refused({array("a", {1}, {1}), below}, "'a' and 'a.b' in one tree");
  refused({array("a", {4}, {2, 2})}, "another rank");
  refused({array("a", {4}, {0})}, "too small");
  refused({array("a", {4}, {4}, {3})}, "do not divide");
  EXPECT_THAT(files_in(folder.path()), IsEmpty());

  OrbaxWriter writer(folder / "0", {array("a", {4}, {2})});
  EXPECT_THAT([&] { writer.write(0, Place{2}, bytes(2)); },
              ThrowsMessage<std::invalid_argument>("'a' has no chunk [2]"));
  EXPECT_THAT(
      [&] {
        writer.write(0, Place{0, 0}, bytes(2));
      },
      ThrowsMessage<std::invalid_argument>("'a' has no chunk [0, 0]"));
  EXPECT_THAT([&] { writer.write(0, Place{0}, bytes(3)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("3 bytes and has 2")));
}

TEST(OrbaxWriter, ThreadsWriteIntoFilesOfTheirOwnThatStayBelowTheLimit) {
  TemporaryFolder folder;
  constexpr int kThreads = 4;
  constexpr int64_t kChunks = 40, kBytes = 2000;
  OrbaxOptions options = {.compress = false, .data_file_bytes = 5 * kBytes, .sync_bytes = 7 * kBytes};
  OrbaxWriter writer(folder / "0", {array("a", {kChunks * kBytes}, {kBytes})}, options);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = t; i < kChunks; i += kThreads) writer.write(0, Place{i}, bytes(kBytes, static_cast<int>(i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer.finish();
  int64_t total = 0;
  for (const auto& file : fs::directory_iterator(folder / "0/items/ocdbt.process_0/d")) {
    EXPECT_LE(file.file_size(), 5 * (kBytes + 20));
    total += static_cast<int64_t>(file.file_size());
  }
  EXPECT_EQ(total, kChunks * (kBytes + 20));
}

TEST(OrbaxWriter, DiskThatIsFullIsOneErrorAndTheChunkCanBeWrittenAgain) {
  TemporaryFolder folder;
  OrbaxOptions options = plain();
  OrbaxWriter writer(folder / "0", {array("a", {2, 4000}, {1, 4000})}, options);
  writer.write(0, Place{0, 0}, bytes(4000));
  // Where the chunk's file goes, a device that is always full.
  const std::string path = folder / "0.partial/whole/items/a/c/1/0";
  fs::create_directories(fs::path(path).parent_path());
  fs::create_symlink("/dev/full", path);
  EXPECT_THAT(
      [&] {
        writer.write(0, Place{1, 0}, bytes(4000));
      },
      ThrowsMessage<RuntimeFault>(path + ": cannot write: No space left on device"));
  EXPECT_FALSE(writer.has(0, Place{1, 0}));
  fs::remove(path);
  writer.write(0, Place{1, 0}, bytes(4000));
  writer.finish();
  EXPECT_EQ(read_file(folder / "0/items/a/c/1/0").size(), 4020U);
}

}  // namespace
}  // namespace fathom
