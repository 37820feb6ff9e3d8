#include "train/loss.h"

namespace fathom {

TokenLoss token_loss(Value logits, Value targets, Value segments, double z_loss_multiplier) {
  Graph& g = logits.graph();
  Scope scope(g, "loss");
  logits = convert(logits, DType::kF32);
  Value log_z = logsumexp(logits, "v");  // [b s]
  // A comparison with iota instead of a gather: it fuses with its neighbours, and so does its gradient.
  Value position = iota(g, DType::kS32, logits.shape(), "v");
  Value chosen = reduce_sum(select(equal(position, targets), logits, 0), "v");
  Value mask = convert(not_equal(segments, 0), DType::kF32);
  Value z = log_z * log_z * z_loss_multiplier * mask;
  Value z_sum = reduce_sum(z, "");
  return {.cross_entropy = reduce_sum((log_z - chosen) * mask, "") + z_sum,
          .z_loss = z_sum,
          .tokens = reduce_sum(mask, "")};
}

}  // namespace fathom
