#include "train/loss.h"

#include "fused/cross_entropy.h"

namespace fathom {

TokenLoss token_loss(Value logits, Value targets, Value segments, double z_loss_multiplier) {
  Graph& g = logits.graph();
  Scope scope(g, "loss");
  auto [log_z, chosen] = cross_entropy(logits, targets);  // [b s]
  Value counts = not_equal(segments, 0);
  Value mask = convert(counts, DType::kF32);
  Value z = log_z * log_z * z_loss_multiplier * mask;
  Value z_sum = reduce_sum(z, "");
  // Counted in integers: a global batch can hold more than the 2^24 that float32 counts exactly.
  return {.cross_entropy = reduce_sum((log_z - chosen) * mask, "") + z_sum,
          .z_loss = z_sum,
          .targets = reduce_sum(convert(counts, DType::kS32), "")};
}

std::vector<const StepScalar*> summed_scalars(const ModelConfig& model) {
  std::vector<const StepScalar*> out;
  for (const StepScalar& row : kStepScalars) {
    bool there = row.part == ModelPart::kAny || (row.part == ModelPart::kExperts && model.experts > 1);
    if (row.adds == Adds::kOverTargets && there) out.push_back(&row);
  }
  return out;
}

LossSums loss_sums(const ModelConfig& config, const ModelOut& model, const BatchFields<Value>& batch,
                   double z_loss_multiplier) {
  TokenLoss token = token_loss(model.logits, batch.targets, batch.targets_segmentation, z_loss_multiplier);
  ValuesByName given;
  given.add("lm_loss", token.cross_entropy);
  given.add("z_loss", token.z_loss);
  Value targets = convert(token.targets, DType::kF32);
  for (const auto& [name, mean] : model.losses) given.add(name, mean * targets);
  LossSums out{.sums = {}, .targets = token.targets};
  for (const StepScalar* row : summed_scalars(config)) {
    Value sum = given.find(row->name);
    out.sums.add(row->name, sum ? sum : zeros_like(targets));  // a term that is switched off is 0
  }
  return out;
}

Value divisor(Value targets) { return convert(targets, DType::kF32) + 1e-8; }

Value LossSums::mean(std::string_view name) const { return sums.find(name) / divisor(targets); }

Value LossSums::loss_sum() const {
  Value total;
  for (const auto& [name, sum] : sums) {
    if (step_scalar(name).in_loss) total = total ? total + sum : sum;
  }
  return total;
}

Value LossSums::loss() const { return loss_sum() / divisor(targets); }

}  // namespace fathom
