// Scratch memory of a thread, kept from call to call: fresh pages for every call would cost more than small products.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fathom::cpu {

class Scratch {
 public:
  // Room for `count` floats from the start of a cache line. What it held before is lost.
  float* reserve(int64_t count) {
    size_t needed = static_cast<size_t>(count) + kLine;
    if (storage_.size() < needed) {
      storage_.clear();  // nothing to copy
      storage_.resize(needed);
    }
    auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return reinterpret_cast<float*>((address + kLine * sizeof(float) - 1) / (kLine * sizeof(float)) *
                                    (kLine * sizeof(float)));
  }

 private:
  static constexpr size_t kLine = 16;  // floats
  std::vector<float> storage_;
};

// Hands out parts of a block of floats, each from the start of a cache line; without a block it only counts.
class Parts {
 public:
  explicit Parts(float* block) : block_(block) {}
  float* take(int64_t floats) {
    float* part = block_ == nullptr ? nullptr : block_ + used_;
    used_ += (floats + 15) / 16 * 16;
    return part;
  }
  int64_t used() const { return used_; }

 private:
  float* block_;
  int64_t used_ = 0;
};

}  // namespace fathom::cpu
