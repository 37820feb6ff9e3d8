// Memory of this machine that a CPU plugin's programs work in.
#pragma once

#include <cstddef>

namespace fathom {

// XLA:CPU takes a program's temporary memory (gigabytes) from posix_memalign or aligned_alloc at each run and frees it
// afterwards; the C library gives blocks of that size back to the kernel, and every run pays for fresh pages. After
// this call aligned blocks of 32 MiB and more are mappings of our own, in huge pages where the kernel has them: when
// freed, the last few are kept and handed out again, as long as those in use and those kept are at most `most_bytes`
// together: what is kept never stands in the way of what is needed. Under a sanitizer, which has an allocator of its
// own, it does nothing.
void keep_large_blocks(size_t most_bytes);

// How many times an aligned block was handed out that had been kept.
size_t reused_large_blocks();

}  // namespace fathom
