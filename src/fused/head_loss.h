// The output head and what the cross entropy is made of, in blocks of tokens: all logits of a batch never exist at
// once. A token of DeepSeek-V3 has half a megabyte of them.
#pragma once

#include "fused/cross_entropy.h"
#include "graph/partition.h"

namespace fathom {

// One block of a device's logits has at most this many bytes unless the number of blocks is given.
constexpr int64_t kLogitsBlockBytes = 256'000'000;

struct HeadLossOptions {
  int64_t blocks = 1;          // of each device's tokens
  Sharding weight_split = {};  // of w; empty on one device
  DType logits_dtype = DType::kF32;
};

// In how many blocks a device's tokens are taken for logits of `dtype`: `wanted`, or for 0 as few as keep a block
// within kLogitsBlockBytes. `tokens` is the shape [b s] of the whole batch, `partition` null on one device.
// `summed_width`: d of a w whose gradient blocks would sum in float32 beside the narrower one, 0 without such a sum;
// logits that take no more memory than the sum stay whole.
int64_t loss_blocks(const Shape& tokens, int64_t vocabulary, DType dtype, int64_t wanted, const Partition* partition,
                    int64_t summed_width = 0);

// The scores of the rows x w^T: x [b s d] and w [v d] of one float type, targets [b s] s32. The derivative makes each
// block's logits again; w's gradient is summed over the blocks in float32.
RowScores head_loss(Value x, Value w, Value targets, const HeadLossOptions& options, Where where = Where::current());

}  // namespace fathom
