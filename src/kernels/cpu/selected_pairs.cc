// The lists of keys as pairs of blocks.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selected_pairs.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>

#include "kernels/cpu/selected-inl.h"
#include "kernels/cpu/selected_pairs.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

int64_t block_rows() { return kBlock; }

// The pairs of two blocks while they are found.
struct PairBuffer {
  int64_t places = 0;
  std::vector<PairRow> rows;
  std::array<uint16_t, kMaxPlaces + kLanes> column;

  Pairs pairs() const { return {rows, column.data(), places}; }
  void clear() {
    places = 0;
    rows.clear();
  }
  // The next row's pairs are the `count` columns that stand from place `places` on.
  void end_row(int64_t index, int64_t count) {
    if (count == 0) return;
    const int64_t end = places + round_up(count, kGroup);
    rows.push_back({static_cast<int32_t>(index), static_cast<int32_t>(places), static_cast<int32_t>(count)});
    std::fill(column.begin() + places + count, column.begin() + end, static_cast<uint16_t>(kBlock * kStripe));
    places = end;
  }
};

// The pairs of some queries, whose lists are [n] each, with the keys [first, first + kBlock). Each query's cursor
// stands at its first key from there on, and moves behind its last.
HWY_ATTR void find_pairs(const int32_t* lists, int64_t n, int64_t queries, int64_t first,
                         std::array<int64_t, kBlock>& cursors, PairBuffer& pairs) {
  const hn::RebindToUnsigned<Tag> d;
  pairs.clear();
  const auto low = static_cast<uint32_t>(first), high = static_cast<uint32_t>(first + kBlock);
  for (int64_t i = 0; i < queries; ++i) {
    // As unsigned numbers the places without a key lie behind all keys.
    const auto* list = reinterpret_cast<const uint32_t*>(lists + i * n);
    int64_t& at = cursors[static_cast<size_t>(i)];
    uint16_t* to = pairs.column.data() + pairs.places;
    int64_t found = 0;
    for (bool more = true; more && at + kLanes <= n;) {
      const auto keys = hn::LoadU(d, list + at);
      const auto here = static_cast<int64_t>(hn::CountTrue(d, hn::Lt(keys, hn::Set(d, high))));
      const auto offsets = hn::Mul(hn::Sub(keys, hn::Set(d, low)), hn::Set(d, static_cast<uint32_t>(kStripe)));
      hn::StoreU(hn::TruncateTo(Tag16(), offsets), Tag16(), to + found);
      found += here;
      at += here;
      more = here == kLanes;
    }
    for (; at < n && list[at] < high; ++at) to[found++] = static_cast<uint16_t>((list[at] - low) * kStripe);
    pairs.end_row(i, found);
  }
}

// The same pairs column by column.
void transpose_pairs(const PairBuffer& pairs, PairBuffer& to, std::vector<uint16_t>& from) {
  std::array<int64_t, kBlock> counts{}, next{};
  for (const PairRow& r : pairs.rows) {
    for (int32_t i = r.first; i < r.first + r.count; ++i) ++counts[pairs.column[static_cast<size_t>(i)] / kStripe];
  }
  int64_t places = 0;
  for (size_t c = 0; c < counts.size(); ++c) {
    next[c] = places;
    places += round_up(counts[c], kGroup);
  }
  from.assign(static_cast<size_t>(places), static_cast<uint16_t>(kMaxPlaces));
  for (const PairRow& r : pairs.rows) {
    for (int32_t i = r.first; i < r.first + r.count; ++i) {
      const auto at = static_cast<size_t>(next[pairs.column[static_cast<size_t>(i)] / kStripe]++);
      to.column[at] = static_cast<uint16_t>(r.index * kStripe);
      from[at] = static_cast<uint16_t>(i);
    }
  }
  to.clear();
  for (size_t c = 0; c < counts.size(); ++c) to.end_row(static_cast<int64_t>(c), counts[c]);
}

HWY_ATTR void find_block_pairs(const SelectedShape& n, const int32_t* lists, int64_t queries, PairOrder order,
                               QueryBlockPairs& to) {
  thread_local PairBuffer pairs, columns;
  std::array<int64_t, kBlock> cursors{};
  for (int64_t t = 0; t < n.t; t += kBlock) {
    find_pairs(lists, n.n, queries, t, cursors, pairs);
    to.by_query.append(pairs.pairs());
    if (order == PairOrder::kByQuery) continue;
    transpose_pairs(pairs, columns, to.from.emplace_back());
    to.by_key.append(columns.pairs());
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(block_rows);
HWY_EXPORT(find_block_pairs);

void PairLists::append(const Pairs& pairs) {
  rows_.insert(rows_.end(), pairs.rows.begin(), pairs.rows.end());
  columns_.insert(columns_.end(), pairs.column, pairs.column + pairs.places);
  starts_.push_back({rows_.size(), columns_.size()});
}

Pairs PairLists::block(int64_t index) const {
  const Start &from = starts_[static_cast<size_t>(index)], &to = starts_[static_cast<size_t>(index + 1)];
  return {.rows = std::span(rows_).subspan(from.row, to.row - from.row),
          .column = columns_.data() + from.place,
          .places = static_cast<int64_t>(to.place - from.place)};
}

PairTable pair_table(const SelectedShape& n, const int32_t* keys, PairOrder order, Parallel& parallel) {
  PairTable table{.block = HWY_DYNAMIC_DISPATCH(block_rows)(), .pairs = {}};
  table.query_blocks = (n.s + table.block - 1) / table.block;
  table.key_blocks = (n.t + table.block - 1) / table.block;
  table.pairs.resize(static_cast<size_t>(n.b * table.query_blocks));
  parallel.run(n.b * table.query_blocks, [&](int64_t i) {
    const int64_t batch = i / table.query_blocks, first = i % table.query_blocks * table.block;
    HWY_DYNAMIC_DISPATCH(find_block_pairs)
    (n, keys + (batch * n.s + first) * n.n, std::min(table.block, n.s - first), order,
     table.pairs[static_cast<size_t>(i)]);
  });
  return table;
}

}  // namespace fathom::cpu
#endif
