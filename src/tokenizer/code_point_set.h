// Sets of Unicode code points: ranges to compute with, bitmaps to test with.
#pragma once

#include <cstdint>
#include <vector>

namespace fathom {

inline constexpr uint32_t kMaxCodePoint = 0x10ffff;

// Sorted, disjoint ranges.
class CodePointSet {
 public:
  struct Range {
    uint32_t first;
    uint32_t last;  // included
    bool operator==(const Range&) const = default;
  };

  CodePointSet() = default;
  explicit CodePointSet(std::vector<Range> ranges);

  void add(uint32_t first, uint32_t last);
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  bool contains(uint32_t code_point) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }
  bool operator==(const CodePointSet&) const = default;

 private:
  void normalize();
  std::vector<Range> ranges_;
};

// The same as a two-level bitmap: membership in two loads, and in one for ASCII.
class CodePointBitmap {
 public:
  explicit CodePointBitmap(const CodePointSet& set);

  bool contains_ascii(unsigned char byte) const { return (ascii_[byte >> 6] >> (byte & 63)) & 1; }
  bool contains(uint32_t code_point) const {
    return (bits_[block_of_[code_point >> 8] * 4u + (code_point >> 6 & 3)] >> (code_point & 63)) & 1;
  }

 private:
  uint64_t ascii_[2];
  std::vector<uint16_t> block_of_;  // [0x1100], number of the block that holds 256 code points
  std::vector<uint64_t> bits_;      // [distinct blocks][4]
};

}  // namespace fathom
