#include "data/record_files.h"

#include <gmock/gmock.h>

#include <array>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "base/tf_record.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::string number(int64_t i) { return std::string(static_cast<size_t>(i * 7 % 50), 'x') + std::to_string(i); }

std::string records(int64_t from, int64_t to) {
  std::string bytes;
  for (int64_t i = from; i < to; ++i) append_tf_record(bytes, number(i));
  return bytes;
}

// A shard of what is written to a file.
RecordShard shard(const std::string& path, std::string_view bytes, int64_t count) {
  return {path, count, static_cast<int64_t>(bytes.size())};
}

TEST(RecordFiles, AnyOrderGivesTheRecordsAlsoThroughASmallCache) {
  TemporaryFolder folder;
  const std::string a = records(0, 100), b = records(100, 130);
  const std::vector<RecordShard> shards = {shard(folder.write("a", a), a, 100), shard(folder.write("b", b), b, 30)};
  RecordFiles local(shards, 1);
  RecordFiles cached(shards, 1, /*cache_local=*/true);
  for (int64_t i = 0; i < 130; ++i) {
    const int64_t j = i * 77 % 130;
    const size_t file = j < 100 ? 0 : 1;
    EXPECT_EQ(local.record(file, j < 100 ? j : j - 100), number(j));
    EXPECT_EQ(cached.record(file, j < 100 ? j : j - 100), number(j));
  }
}

TEST(RecordFiles, PartsOfAFileAreReadOnceAsLongAsTheyAreKept) {
  class Counted final : public FileReader {
   public:
    int64_t size() const override { return 95; }
    void read(int64_t offset, std::span<std::byte> out) const override {
      ++reads;
      for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(offset + static_cast<int64_t>(i));
    }
    mutable int reads = 0;
  };
  Counted file;
  PartCache cache(/*cache_bytes=*/30, /*part_bytes=*/10);
  std::array<std::byte, 12> out;
  cache.read(0, file, 95, 5, out);  // parts 0 and 1
  EXPECT_EQ(static_cast<int>(out[11]), 16);
  cache.read(0, file, 95, 84, std::span(out).first(11));  // 8, and 9, which is cut off
  EXPECT_EQ(static_cast<int>(out[10]), 94);
  EXPECT_EQ(file.reads, 4);
  cache.read(0, file, 95, 10, std::span(out).first(3));  // 1 is kept, 0 is not
  EXPECT_EQ(file.reads, 4);
  cache.read(0, file, 95, 0, std::span(out).first(3));
  EXPECT_EQ(file.reads, 5);
  cache.read(1, file, 95, 0, std::span(out).first(3));  // of another file
  EXPECT_EQ(file.reads, 6);
}

TEST(RecordFiles, DamageNamesFileAndRecordAndTheOthersAreRead) {
  TemporaryFolder folder;
  const std::string good = records(0, 10);
  size_t begin = records(0, 3).size();
  std::string body = good, head = good;
  body[begin + kTfRecordHead] = static_cast<char>(body[begin + kTfRecordHead] ^ 1);
  head[begin] = static_cast<char>(head[begin] ^ 1);
  RecordFiles damaged({shard(folder.write("body", body), body, 10)}, 1);
  EXPECT_THAT([&] { damaged.record(0, 3); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr(folder / "body: record 3: its bytes, from byte"),
                                               HasSubstr("do not have their checksum (crc32c)"))));
  EXPECT_EQ(damaged.record(0, 4), number(4));
  RecordFiles lost({shard(folder.write("head", head), head, 10)}, 1);
  EXPECT_EQ(lost.record(0, 2), number(2));
  EXPECT_THAT([&] { lost.record(0, 7); },
              ThrowsMessage<FormatError>(HasSubstr(folder / "head: record 3: its length, at byte")));
}

TEST(RecordFiles, AFileCutShortOrOfAnotherNumberOfRecordsIsAnError) {
  TemporaryFolder folder;
  const std::string good = records(0, 10);
  for (size_t cut : {size_t{1}, number(9).size() + kTfRecordTail, number(9).size() + kTfRecordHead}) {
    const std::string bytes = good.substr(0, good.size() - cut);
    RecordFiles files({shard(folder.write("cut", bytes), bytes, 10)}, 1);
    EXPECT_EQ(files.record(0, 8), number(8));
    EXPECT_THAT([&] { files.record(0, 9); },
                ThrowsMessage<FormatError>(AllOf(HasSubstr(folder / "cut: record 9: "), HasSubstr("cut short"))))
        << cut;
  }
  RecordFiles fewer({shard(folder.write("a", good), good, 11)}, 1);
  EXPECT_THAT([&] { fewer.record(0, 10); },
              ThrowsMessage<FormatError>(HasSubstr("a: holds 10 records, and dataset_info.json says 11")));
  RecordFiles more({shard(folder / "a", good, 9)}, 1);
  EXPECT_THAT([&] { more.record(0, 8); },
              ThrowsMessage<FormatError>(HasSubstr("a: holds more than the 9 records that dataset_info.json says")));
  EXPECT_EQ(more.record(0, 7), number(7));
}

}  // namespace
}  // namespace fathom
