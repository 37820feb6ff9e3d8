#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

// RFC 3720 (iSCSI), appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, PublishedValuesAreMet) {
  std::string rising;
  for (int i = 0; i < 32; ++i) rising.push_back(static_cast<char>(i));
  std::string falling(rising.rbegin(), rising.rend());
  for (auto crc : {crc32c, crc32c_portable}) {
    EXPECT_EQ(crc("", 0), 0u);
    EXPECT_EQ(crc("123456789", 0), 0xe3069283u);
    EXPECT_EQ(crc(std::string(32, '\0'), 0), 0x8a9136aau);
    EXPECT_EQ(crc(std::string(32, '\xff'), 0), 0x62a8ab43u);
    EXPECT_EQ(crc(rising, 0), 0x46dd794eu);
    EXPECT_EQ(crc(falling, 0), 0x113fdb5cu);
  }
}

TEST(Crc32c, PartsAndPathsAgreeForEveryLengthAndAlignment) {
  std::string bytes;
  for (int i = 0; i < 67; ++i) bytes.push_back(static_cast<char>(i * i + 7));
  std::string_view all = bytes;
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t end = begin; end <= all.size(); ++end) {
      std::string_view part = all.substr(begin, end - begin);
      uint32_t whole = crc32c_portable(part);
      EXPECT_EQ(crc32c(part), whole);
      size_t half = part.size() / 3;
      EXPECT_EQ(crc32c(part.substr(half), crc32c(part.substr(0, half))), whole);
      EXPECT_EQ(crc32c_portable(part.substr(half), crc32c_portable(part.substr(0, half))), whole);
    }
  }
}

// A TFRecord of 24 bytes begins with this length and this masked checksum of it.
TEST(Crc32c, MaskIsTheOneOfTfRecord) {
  uint32_t crc = crc32c(std::string_view("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(masked_crc32c(crc), 0x224b7fa3u);
  EXPECT_EQ(masked_crc32c(0), 0xa282ead8u);
}

}  // namespace
}  // namespace fathom
