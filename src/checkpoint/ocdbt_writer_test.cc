#include "checkpoint/ocdbt_writer.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

OcdbtOptions options() { return {.node_file = "d/nodes", .uuid = std::string(16, 'u'), .commit_time = 5}; }

// Each begins with the magic number, its length and version 0, zstd; the checksum of the rest is last.
void expect_frames(std::string_view text, std::string_view magic, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(text.substr(0, 4), magic);
    const uint64_t length = little_endian(text.substr(4, 8));
    ASSERT_LE(length, text.size());
    EXPECT_EQ(text.substr(12, 2), std::string_view("\0\1", 2));
    EXPECT_EQ(little_endian(text.substr(length - 4, 4)), crc32c(text.substr(0, length - 4)));
    text.remove_prefix(length);
  }
  EXPECT_EQ(text, "");
}

TEST(OcdbtWriter, NodesHaveAsManyEntriesAsTheyMay) {
  std::vector<OcdbtValue> values;
  for (int i = 0; i < 10; ++i) values.push_back({.key = std::string(1, static_cast<char>('a' + i)), .bytes = "v"});
  OcdbtOptions limits = options();
  OcdbtDatabase one = encode_ocdbt(values, {}, limits);
  expect_frames(one.nodes, "\x0c\xdb\x20\xde", 1);
  expect_frames(one.manifest, "\x0c\xdb\x3a\x2a", 1);
  limits.max_node_entries = 3;  // 4 leaves, 2 nodes above them, the root
  expect_frames(encode_ocdbt(values, {}, limits).nodes, "\x0c\xdb\x20\xde", 7);
  limits.max_node_bytes = 1;  // 10 leaves, then always 2 in a node: 5, 3, 2, 1
  expect_frames(encode_ocdbt(values, {}, limits).nodes, "\x0c\xdb\x20\xde", 21);
}

TEST(OcdbtWriter, ValuesThatMakeNoDatabaseAreRefused) {
  EXPECT_THAT([] { encode_ocdbt({}, {}, options()); }, ThrowsMessage<std::invalid_argument>(HasSubstr("no values")));
  EXPECT_THAT(
      [] {
        encode_ocdbt({{.key = "a"}, {.key = "a"}}, {}, options());
      },
      ThrowsMessage<std::invalid_argument>("OCDBT: key 'a' twice"));
}

}  // namespace
}  // namespace fathom
