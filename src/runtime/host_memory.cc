#include "runtime/host_memory.h"

#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>

// The C library's own functions behind the names that this file takes over.
extern "C" {
void* __libc_memalign(size_t alignment, size_t size) noexcept;
void* __libc_realloc(void* old, size_t size) noexcept;
void __libc_free(void* block) noexcept;
}

namespace fathom {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = size_t{32} << 20;
// Blocks that are kept when they are free: two runs in flight and one program of another size.
constexpr size_t kKept = 3;
// Blocks start at different offsets (of whole pages): arrays that a loop reads side by side would otherwise compete for
// the same sets of the cache.
constexpr size_t kOffsets = 32;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// No memory of its own and no destructor: it works before main and after it, and inside free.
class LargeBlocks {
 public:
  void enable(size_t most_bytes) {
    most_bytes_ = most_bytes;
    enabled_.store(true, std::memory_order_relaxed);
  }
  size_t reused() const { return reused_.load(std::memory_order_relaxed); }
  bool takes(size_t alignment, size_t size) const {
    return size >= kLarge && alignment <= kPage && enabled_.load(std::memory_order_relaxed);
  }
  // Whether a block may be ours: ours start at a page, hardly any of the C library's do.
  bool may_own(const void* data) const {
    return reinterpret_cast<uintptr_t>(data) % kPage == 0 && enabled_.load(std::memory_order_relaxed);
  }

  // Null when there is no memory, or no room in the table.
  void* get(size_t size) {
    std::lock_guard lock(mutex_);
    if (Block* kept = best_kept(size)) {
      kept->free_since = 0;
      reused_.fetch_add(1, std::memory_order_relaxed);
      return kept->data;
    }
    Block* place = std::find_if(blocks_.data(), end_, [](const Block& b) { return b.mapping == nullptr; });
    if (place == blocks_.data() + blocks_.size()) return nullptr;
    end_ = std::max(end_, place + 1);
    size_t offset = next_offset_++ % kOffsets * kPage;
    size_t mapped = round_up(size + offset, kHugePage);
    while (mapped_ + mapped > most_bytes_ && drop_oldest()) {
    }
    void* mapping = map(mapped);
    if (mapping == MAP_FAILED) {
      while (drop_oldest()) {
      }
      mapping = map(mapped);
    }
    if (mapping == MAP_FAILED) return nullptr;
    madvise(mapping, mapped, MADV_HUGEPAGE);  // refused by kernels without huge pages: small ones are right too
    mapped_ += mapped;
    *place = {mapping, mapped, static_cast<char*>(mapping) + offset, 0};
    return place->data;
  }

  // False when the block is none of ours.
  bool release(void* data) {
    std::lock_guard lock(mutex_);
    Block* block = find(data);
    if (block == nullptr) return false;
    block->free_since = ++clock_;
    auto kept = std::count_if(blocks_.data(), end_, [](const Block& b) { return b.free_since != 0; });
    if (static_cast<size_t>(kept) > kKept || mapped_ > most_bytes_) drop_oldest();
    return true;
  }

  // Bytes of a block that is in use; 0 when it is none of ours.
  size_t size_of(const void* data) {
    std::lock_guard lock(mutex_);
    const Block* block = find(data);
    return block == nullptr ? 0 : block->room();
  }

 private:
  struct Block {
    void* mapping = nullptr;
    size_t mapped = 0;
    void* data = nullptr;
    uint64_t free_since = 0;  // 0: in use
    size_t room() const { return mapped - static_cast<size_t>(static_cast<char*>(data) - static_cast<char*>(mapping)); }
  };

  static void* map(size_t bytes) {
    // Room for the start of a huge page, cut off on both sides.
    void* wide = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wide == MAP_FAILED) return wide;
    auto address = reinterpret_cast<uintptr_t>(wide);
    size_t before = round_up(address, kHugePage) - address;
    char* start = static_cast<char*>(wide) + before;
    if (before != 0) munmap(wide, before);
    if (before != kHugePage) munmap(start + bytes, kHugePage - before);
    return start;
  }

  Block* find(const void* data) {
    Block* at = std::find_if(blocks_.data(), end_, [&](const Block& b) { return b.data == data && b.free_since == 0; });
    return at == end_ ? nullptr : at;
  }

  // The smallest kept block with room; none that is more than twice too large, which another program may come back for.
  Block* best_kept(size_t size) {
    Block* best = nullptr;
    for (Block& b : std::span(blocks_.data(), end_)) {
      bool fits = b.free_since != 0 && b.room() >= size && b.room() / 2 <= size;
      if (fits && (best == nullptr || b.room() < best->room())) best = &b;
    }
    return best;
  }

  bool drop_oldest() {
    Block* oldest = nullptr;
    for (Block& b : std::span(blocks_.data(), end_)) {
      if (b.free_since != 0 && (oldest == nullptr || b.free_since < oldest->free_since)) oldest = &b;
    }
    if (oldest == nullptr) return false;
    int error = errno;  // free leaves it alone
    munmap(oldest->mapping, oldest->mapped);
    errno = error;
    mapped_ -= oldest->mapped;
    *oldest = {};
    return true;
  }

  std::mutex mutex_;
  std::array<Block, 4096> blocks_{};
  Block* end_ = blocks_.data();  // behind the last place that was ever used
  uint64_t clock_ = 0;
  size_t next_offset_ = 0;
  size_t mapped_ = 0;      // bytes of all blocks, in use or kept
  size_t most_bytes_ = 0;  // blocks are kept while all of them together are no more than this
  std::atomic<bool> enabled_{false};
  std::atomic<size_t> reused_{0};
};

constinit LargeBlocks large_blocks;

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
void keep_large_blocks(size_t) {}
#else
void keep_large_blocks(size_t most_bytes) { large_blocks.enable(most_bytes); }

namespace {

void* aligned(size_t alignment, size_t size) {
  if (large_blocks.takes(alignment, size)) {
    if (void* block = large_blocks.get(size)) return block;
  }
  return __libc_memalign(alignment, size);
}

}  // namespace
#endif

size_t reused_large_blocks() { return large_blocks.reused(); }

}  // namespace fathom

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Defined in the program, these stand in front of the C library's for the plugins that it loads, too.
extern "C" {

int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
  if (!power_of_two || alignment % sizeof(void*) != 0) return EINVAL;
  int error = errno;
  void* made = fathom::aligned(alignment, size);
  errno = error;
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

void* aligned_alloc(size_t alignment, size_t size) noexcept { return fathom::aligned(alignment, size); }
void* memalign(size_t alignment, size_t size) noexcept { return fathom::aligned(alignment, size); }

void free(void* block) noexcept {
  if (block != nullptr && fathom::large_blocks.may_own(block) && fathom::large_blocks.release(block)) return;
  __libc_free(block);
}

void* realloc(void* old, size_t size) noexcept {
  size_t had = old != nullptr && fathom::large_blocks.may_own(old) ? fathom::large_blocks.size_of(old) : 0;
  if (had == 0) return __libc_realloc(old, size);
  void* made = size == 0 ? nullptr : malloc(size);
  if (made == nullptr && size != 0) return nullptr;
  if (made != nullptr) std::memcpy(made, old, std::min(had, size));
  free(old);
  return made;
}

size_t malloc_usable_size(void* block) noexcept {
  static auto* libc = reinterpret_cast<size_t (*)(void*)>(dlsym(RTLD_NEXT, "malloc_usable_size"));
  size_t ours = block != nullptr && fathom::large_blocks.may_own(block) ? fathom::large_blocks.size_of(block) : 0;
  return ours != 0 ? ours : libc(block);
}

}  // extern "C"
#endif
