#include "runtime/host_memory.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace fathom {
namespace {

constexpr size_t kBlock = size_t{40} << 20;
constexpr size_t kMost = 20 * kBlock;

char* aligned_block(size_t size) {
  void* block = nullptr;
  EXPECT_EQ(posix_memalign(&block, 64, size), 0);
  return static_cast<char*>(block);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
TEST(HostMemory, IsTheSanitizersOwn) {
  keep_large_blocks(kMost);
  free(aligned_block(kBlock));
  free(aligned_block(kBlock));
  EXPECT_EQ(reused_large_blocks(), 0U);
}
#else
TEST(HostMemory, AFreedLargeBlockIsHandedOutAgain) {
  keep_large_blocks(kMost);
  size_t before = reused_large_blocks();
  char* first = aligned_block(kBlock);
  std::memset(first, 1, kBlock);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0U);
  auto where = reinterpret_cast<uintptr_t>(first);
  free(first);
  char* second = aligned_block(kBlock - 100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second), where);
  EXPECT_EQ(reused_large_blocks(), before + 1);
  free(second);
}

TEST(HostMemory, BlocksInUseNeverMeet) {
  keep_large_blocks(kMost);
  std::vector<char*> blocks;
  for (int i = 0; i < 6; ++i) {
    blocks.push_back(aligned_block(kBlock));
    std::memset(blocks.back(), i, kBlock);
  }
  for (int i = 0; i < 6; ++i) {
    char* b = blocks[static_cast<size_t>(i)];
    EXPECT_EQ(b[0], i);
    EXPECT_EQ(b[kBlock - 1], i);
    free(b);
  }
}

// A kept block that is much larger than what is asked for stays for whoever needs its size.
TEST(HostMemory, ASmallRequestDoesNotTakeALargeBlock) {
  keep_large_blocks(kMost);
  char* large = aligned_block(8 * kBlock);
  auto where = reinterpret_cast<uintptr_t>(large);
  free(large);
  char* small = aligned_block(kBlock);
  char* again = aligned_block(8 * kBlock);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(again), where);
  free(small);
  free(again);
}

TEST(HostMemory, BlocksAreKeptWhileAllTogetherAreWithinTheLimit) {
  keep_large_blocks(2 * kBlock + (size_t{4} << 20));
  char *first = aligned_block(kBlock), *second = aligned_block(kBlock);
  size_t before = reused_large_blocks();
  free(first);
  char* larger = aligned_block(2 * kBlock);  // beyond the limit: the kept block goes
  free(aligned_block(kBlock));
  EXPECT_EQ(reused_large_blocks(), before);
  free(larger);
  free(second);
  keep_large_blocks(kMost);
}

TEST(HostMemory, ResizingKeepsTheContents) {
  keep_large_blocks(kMost);
  char* block = aligned_block(kBlock);
  block[0] = 7;
  block[kBlock - 1] = 8;
  auto* grown = static_cast<char*>(realloc(block, 2 * kBlock));
  ASSERT_NE(grown, nullptr);
  EXPECT_EQ(grown[0], 7);
  EXPECT_EQ(grown[kBlock - 1], 8);
  free(grown);
}

TEST(HostMemory, OtherRequestsAreTheCLibrarys) {
  keep_large_blocks(kMost);
  void* block = nullptr;
  EXPECT_EQ(posix_memalign(&block, 24, 100), EINVAL);  // no power of two
  EXPECT_EQ(posix_memalign(&block, 1 << 16, kBlock), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (1 << 16), 0U);
  free(block);
  free(aligned_block(100));
  free(nullptr);
}

TEST(HostMemory, ThreadsShareIt) {
  keep_large_blocks(kMost);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) {
        char* block = aligned_block(kBlock + static_cast<size_t>(t) * 4096);
        block[0] = static_cast<char>(t);
        block[kBlock - 1] = static_cast<char>(i);
        EXPECT_EQ(block[0], t);
        free(block);
      }
    });
  }
}
#endif

}  // namespace
}  // namespace fathom
