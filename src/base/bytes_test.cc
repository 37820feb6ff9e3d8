#include "base/bytes.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(LittleEndian, LowestByteComesFirst) {
  std::string bytes = "x";
  append_little_endian(bytes, 0x0102030405060780, 8);
  append_little_endian(bytes, 0xfffe, 2);
  append_little_endian(bytes, 0x1234, 1);
  EXPECT_EQ(bytes, std::string("x\x80\x07\x06\x05\x04\x03\x02\x01\xfe\xff\x34"));
}

TEST(LittleEndian, ReadsWhatWasWritten) {
  for (uint64_t value : {uint64_t{0}, uint64_t{255}, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::string bytes;
    append_little_endian(bytes, value, 8);
    EXPECT_EQ(little_endian(bytes), value);
  }
  EXPECT_EQ(little_endian(std::string_view("\xff\x80", 2)), 0x80ffU);
  EXPECT_EQ(little_endian(""), 0U);
}

}  // namespace
}  // namespace fathom
