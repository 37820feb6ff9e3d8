#include "train/loss.h"

#include "fused/head_loss.h"

namespace fathom {

namespace {

RowScores scores_of(const ModelConfig& m, const HeadInputs& head, Value targets) {
  const Graph& g = head.x.graph();
  const int64_t blocks = loss_blocks(targets.shape(), m.vocab, m.logits_dtype(), m.loss_blocks, g.partition.get());
  // A single block is worth keeping for the derivative.
  if (blocks == 1) return cross_entropy(logits_head(m, head.weight, head.x), targets);
  Value x = m.logits_dot_in_float32 ? convert(head.x, DType::kF32) : head.x;
  return head_loss(x, convert(head.weight, x.dtype()), targets,
                   {.blocks = blocks, .weight_split = head.weight_split, .logits_dtype = m.logits_dtype()});
}

}  // namespace

TokenLoss token_loss(const ModelConfig& m, const HeadInputs& head, Value targets, Value segments,
                     double z_loss_multiplier) {
  Graph& g = targets.graph();
  Scope scope(g, "loss");
  auto [log_z, chosen] = scores_of(m, head, targets);  // [b s]
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
    bool there = row.part == ModelPart::kAny || (row.part == ModelPart::kExperts && model.experts > 1) ||
                 (row.part == ModelPart::kIndexer && model.indexer);
    if (row.adds == Adds::kOverTargets && there) out.push_back(&row);
  }
  return out;
}

std::vector<TensorType> load_types(const ModelConfig& model) {
  if (model.moe_layers() == 0) return {};
  std::vector<TensorType> out{{DType::kS32, {{"l", model.moe_layers()}, {"e", model.experts}}}};
  if (model.drops_tokens()) out.push_back({DType::kS32, {}});
  return out;
}

namespace {

// Of the stacks whose layers have experts.
ValuesByName loads_of(const ModelOut& model) {
  std::vector<Value> load, dropped;
  for (const StackOut& stack : model.stacks) {
    if (Value v = stack.beside.find("load")) load.push_back(v);
    if (Value v = stack.beside.find("dropped")) dropped.push_back(v);
  }
  ValuesByName out;
  if (!load.empty()) out.add("load", concatenate(load, "l"));
  if (!dropped.empty()) out.add("dropped", reduce_sum(concatenate(dropped, "l"), "l"));
  return out;
}

// One sum for each of summed_scalars(); a term that is switched off is 0.
LossSums complete(const ModelConfig& config, const ModelOut& model, const ValuesByName& given, Value targets) {
  LossSums out{.sums = {}, .targets = targets, .loads = loads_of(model)};
  for (const StepScalar* row : summed_scalars(config)) {
    Value sum = given.find(row->name);
    out.sums.add(row->name, sum ? sum : zeros(targets.graph(), {DType::kF32, {}}));
  }
  return out;
}

// Over the targets: of a number that each token has, or of one for all.
Value sum_over_targets(Value x, const BatchFields<Value>& batch, Value targets) {
  if (x.rank() > 0) return reduce_sum(x * target_mask(batch), "");
  return x * convert(targets, DType::kF32);
}

}  // namespace

LossSums loss_sums(const ModelConfig& config, const ModelOut& model, const HeadInputs& head,
                   const BatchFields<Value>& batch, double z_loss_multiplier) {
  TokenLoss token = token_loss(config, head, batch.targets, batch.targets_segmentation, z_loss_multiplier);
  ValuesByName given;
  given.add("lm_loss", token.cross_entropy);
  given.add("z_loss", token.z_loss);
  for (const auto& [name, value] : model.losses) given.add(name, sum_over_targets(value, batch, token.targets));
  return complete(config, model, given, token.targets);
}

LossSums warmup_loss_sums(const ModelConfig& config, const ModelOut& model, const BatchFields<Value>& batch) {
  ValuesByName given;
  Value targets = count_targets(batch);
  if (Value loss = model.losses.find("indexer_loss")) {
    given.add("indexer_loss", sum_over_targets(loss, batch, targets));
  }
  return complete(config, model, given, targets);
}

Value target_mask(const BatchFields<Value>& batch) {
  return convert(not_equal(batch.targets_segmentation, 0), DType::kF32);
}

Value count_targets(const BatchFields<Value>& batch) {
  return reduce_sum(convert(not_equal(batch.targets_segmentation, 0), DType::kS32), "");
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
