#include "base/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace fathom {

void prefer_huge_pages(std::byte* data, size_t bytes) {
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
  if (first < last) madvise(data + (first - begin), last - first, MADV_HUGEPAGE);
}

}  // namespace fathom
