// Memory in huge pages: filling fresh memory of 4 KiB pages takes longer than reading what fills it.
#pragma once

#include <cstddef>

namespace fathom {

// Asks the kernel for huge pages in a block that nobody has written to; where it has none, nothing happens.
void prefer_huge_pages(std::byte* data, size_t bytes);

}  // namespace fathom
