#include "profile/memory_map.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fathom {
namespace {

constexpr std::string_view kText =
    "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]\n"
    "7f0000000000-7f0000001000 r-xp 00000000 00:00 0 \n"
    "7f0000001000-7f0000002000 r-xp 00003000 fe:00 131                        /usr/lib/a name.so\n";

TEST(MemoryMap, RangesFlagsOffsetsAndPathsAreRead) {
  std::vector<MemoryRegion> map = parse_memory_map(kText);
  ASSERT_EQ(map.size(), 3U);
  EXPECT_EQ(map[0].begin, 0x55d0c0000000U);
  EXPECT_EQ(map[0].end, 0x55d0c0021000U);
  EXPECT_TRUE(map[0].readable && map[0].writable && !map[0].executable && map[0].anonymous());
  EXPECT_TRUE(map[1].executable && map[1].anonymous() && map[1].path.empty());
  EXPECT_EQ(map[2].path, "/usr/lib/a name.so");
  EXPECT_EQ(map[2].file_offset, 0x3000U);
  EXPECT_FALSE(map[2].anonymous());
}

TEST(MemoryMap, AnAddressIsInTheRegionThatHoldsItOrInNone) {
  std::vector<MemoryRegion> map = parse_memory_map(kText);
  EXPECT_EQ(region_of(map, 0x55d0c0000000), &map[0]);
  EXPECT_EQ(region_of(map, 0x55d0c0021000), nullptr);
  EXPECT_EQ(region_of(map, 0x7f0000001fff), &map[2]);
  EXPECT_EQ(region_of(map, 0x1000), nullptr);
}

TEST(MemoryMap, ALineOfAnotherFormIsAnError) {
  EXPECT_THROW(parse_memory_map("7f0000000000 r-xp 0 0 0"), FormatError);
  EXPECT_THROW(parse_memory_map("7f00000000zz-7f0000001000 r-xp 00000000 00:00 0"), FormatError);
}

TEST(MemoryMap, TheProcessOwnCodeIsInItsMap) {
  std::vector<MemoryRegion> map = memory_map();
  const MemoryRegion* region = region_of(map, reinterpret_cast<uint64_t>(&memory_map));
  ASSERT_NE(region, nullptr);
  EXPECT_TRUE(region->executable);
  EXPECT_FALSE(region->anonymous());
}

}  // namespace
}  // namespace fathom
