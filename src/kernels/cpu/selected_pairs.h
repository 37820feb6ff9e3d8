// Which queries chose which keys, block against block: made once from the lists, read by every head.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/selected_attention.h"

namespace fathom::cpu {

// One row's pairs: which row of its block it is, the first of its places, how many of them are pairs. Behind these,
// places are filled up to a whole group.
struct PairRow {
  int32_t index = 0, first = 0, count = 0;
};

// The pairs of two blocks, row by row. Columns are given as offsets in a stripe (selected-inl.h).
struct Pairs {
  std::span<const PairRow> rows;     // those with pairs
  const uint16_t* column = nullptr;  // [places]
  int64_t places = 0;
};

// The pairs of one block of rows with each block of columns, which follow one another.
class PairLists {
 public:
  // Of the next block of columns.
  void append(const Pairs& pairs);
  Pairs block(int64_t index) const;

 private:
  struct Start {
    size_t row = 0, place = 0;
  };
  std::vector<Start> starts_{{}};
  std::vector<PairRow> rows_;
  std::vector<uint16_t> columns_;
};

// One block of queries. By query, the rows are queries and the columns keys; by key the other way round, and of each
// place by key `from` says the place by query.
struct QueryBlockPairs {
  PairLists by_query, by_key;
  std::vector<std::vector<uint16_t>> from;  // [blocks of keys]
};

struct PairTable {
  int64_t block = 0;  // rows of a block, of queries or of keys
  int64_t query_blocks = 0, key_blocks = 0;
  std::vector<QueryBlockPairs> pairs;  // [b, query_blocks]
};

enum class PairOrder : uint8_t { kByQuery, kBoth };

// The lists are valid (check_lists).
PairTable pair_table(const SelectedShape& n, const int32_t* keys, PairOrder order, Parallel& parallel);

}  // namespace fathom::cpu
