// Memory that one thread uses again and again: fresh memory costs more than what is done with it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/huge_pages.h"

namespace fathom {

class Scratch {
 public:
  // At least so many bytes, aligned to a huge page; what was in it is lost.
  std::byte* of(size_t bytes) {
    if (bytes > size_) {
      constexpr size_t kHugePage = size_t{2} << 20;
      const size_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
      memory_.reset();
      size_ = 0;
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)));
      if (memory_ == nullptr) throw std::bad_alloc();
      size_ = size;
      prefer_huge_pages(memory_.get(), size);
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t size_ = 0;
};

}  // namespace fathom
