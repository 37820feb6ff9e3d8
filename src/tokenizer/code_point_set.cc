#include "tokenizer/code_point_set.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace fathom {

CodePointSet::CodePointSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) { normalize(); }

void CodePointSet::add(uint32_t first, uint32_t last) {
  ranges_.push_back({first, last});
  normalize();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalize();
}

void CodePointSet::normalize() {
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

CodePointSet CodePointSet::complement() const {
  CodePointSet out;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) out.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) out.ranges_.push_back({next, kMaxCodePoint});
  return out;
}

bool CodePointSet::contains(uint32_t code_point) const {
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                                [](uint32_t value, const Range& range) { return value < range.first; });
  return after != ranges_.begin() && code_point <= std::prev(after)->last;
}

CodePointBitmap::CodePointBitmap(const CodePointSet& set) : block_of_((kMaxCodePoint + 1) / 256) {
  using Block = std::array<uint64_t, 4>;
  std::map<Block, uint16_t> numbers;
  auto range = set.ranges().begin();
  for (uint32_t block = 0; block < block_of_.size(); ++block) {
    Block bits{};
    const uint32_t begin = block * 256;
    const uint32_t end = begin + 256;
    while (range != set.ranges().end() && range->first < end) {
      for (uint32_t c = std::max(range->first, begin); c <= std::min(range->last, end - 1); ++c) {
        bits[(c - begin) >> 6] |= uint64_t{1} << (c & 63);
      }
      if (range->last >= end) break;
      ++range;
    }
    auto [it, is_new] = numbers.try_emplace(bits, static_cast<uint16_t>(numbers.size()));
    if (is_new) bits_.insert(bits_.end(), bits.begin(), bits.end());
    block_of_[block] = it->second;
  }
  ascii_[0] = bits_[size_t{4} * block_of_[0]];
  ascii_[1] = bits_[size_t{4} * block_of_[0] + 1];
}

}  // namespace fathom
