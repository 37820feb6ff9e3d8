// What the ops of sparse attention share (V3.2 report, section 2.1): the operands of the indexer, queries in blocks
// against all keys in their composed forms, and their split over a mesh.
//
// A query's place in its row is `first` plus its index; it sees the keys at places up to its own of its own segment.
// Scores of the indexer are computed again wherever they are needed. They are the same to the last bit everywhere,
// which a choice that is kept as a cut-off needs: always by the same operations on blocks of the same sizes, with
// barriers around each, so that no compiler fuses them with what another op does with them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fused/flash_blocks.h"
#include "graph/fused_op.h"
#include "graph/ops.h"

namespace fathom {

// Operands of the indexer, as they stand one after another in every op.
//   q [b s hi di], k [b t di], weights [b s hi] f32 (scale included), segments [b t] s32, first s32 scalar
struct IndexOperands {
  static constexpr size_t kCount = 5;
  Value q, k, weights, segments, first;
  explicit IndexOperands(std::span<const Value> at)
      : q(at[0]), k(at[1]), weights(at[2]), segments(at[3]), first(at[4]) {}
};

// Fails unless the operands from `at` on are those of the indexer.
void check_index_operands(const InferContext& c, int at);
// Fails unless q [b s h w] and k [b t h w] are operands 0 and 1, of one type.
void check_query_and_key(const InferContext& c);

// FusedAttrs::ints of all these ops: {block, top_k}. The composed forms go over `block` queries at a time.
inline int64_t top_k_of(const FusedAttrs& attrs) { return attrs.ints.at(1); }

// Blocks of queries against all keys.
class IndexedBlocks {
 public:
  IndexedBlocks(Graph& g, const IndexOperands& index, const FusedAttrs& attrs);

  int64_t count() const { return n_.count; }
  DType dtype() const { return n_.dtype; }
  // x [.. s ..] in blocks, in the order "block <rest>"; and back.
  Value cut(Value x, std::string_view rest) const { return n_.cut(x, "s", rest); }
  Value join(Value x, std::string_view names) const { return n_.join(x, "s", names); }
  // What a block of queries needs to make its scores, as stacks of a scan: q, weights, segments, in this order.
  std::vector<Value> stacks() const;
  static constexpr size_t kStacks = 3;

  struct Block {
    Value i;                     // s32: its number
    Value q, weights, segments;  // [b s hi di], [b s hi], [b s]
    Block(Value number, std::span<const Value> slice) : i(number), q(slice[0]), weights(slice[1]), segments(slice[2]) {}
  };
  struct Scores {
    Value products;  // [b s hi t] f32: of queries and keys, before ReLU
    Value sums;      // [b s t] f32: over the heads, of weight times ReLU; kMasked for keys that the query does not see
  };
  Scores scores(const Block& block) const;
  // [b s t]: whether the query sees the key.
  Value seen(const Block& block) const;
  // [b s t]: whether the key is chosen: seen, and above the cut-off, or at it and not after `tie`; both [b s].
  Value chosen(const Block& block, const Scores& scores, Value cutoff, Value tie) const;

 private:
  Value places(const Shape& shape) const;

  Graph& g_;
  IndexOperands index_;
  Blocks n_;
};

// [b s n] s32: the list of chosen keys, made by the kernel from a cut-off; `index`: the operands of the indexer.
Value chosen_keys(Graph& g, std::span<const Value> index, Value cutoff, Value tie, int64_t top_k);

// The ops on a mesh: rows and heads stay where they are; where the row is split, a device's queries meet the keys of
// all devices, and what becomes of a key is summed over them. The indexer's heads are whole on every device, and so are
// those of attention where the op asks for `whole_heads`. FusedAttrs::shardings then says which mesh axes hold the
// other heads.
struct IndexedSharding {
  size_t first = 0;  // the operand IndexOperands::first
  bool whole_heads = false;
};
std::optional<ShardedForm> shard_indexed(const Node& node, const Partition& p, const IndexedSharding& how);

}  // namespace fathom
