#include "train/loss.h"

#include "fused/cross_entropy.h"

namespace fathom {

TokenLoss token_loss(Value logits, Value targets, Value segments, double z_loss_multiplier) {
  Graph& g = logits.graph();
  Scope scope(g, "loss");
  auto [log_z, chosen] = cross_entropy(logits, targets);  // [b s]
  Value mask = convert(not_equal(segments, 0), DType::kF32);
  Value z = log_z * log_z * z_loss_multiplier * mask;
  Value z_sum = reduce_sum(z, "");
  return {.cross_entropy = reduce_sum((log_z - chosen) * mask, "") + z_sum,
          .z_loss = z_sum,
          .tokens = reduce_sum(mask, "")};
}

}  // namespace fathom
