#include "train/loss.h"

#include <algorithm>

#include "fused/head_loss.h"
#include "graph/region_ops.h"
#include "model/mtp.h"

namespace fathom {

namespace {

RowScores scores_of(const ModelConfig& m, const HeadInputs& head, Value targets) {
  const Graph& g = head.x.graph();
  Value x = m.logits_dot_in_float32 ? convert(head.x, DType::kF32) : head.x;
  const int64_t summed_width = x.dtype() == DType::kF32 ? 0 : x.size("d");
  const int64_t blocks =
      loss_blocks(targets.shape(), m.vocab, m.logits_dtype(), m.loss_blocks, g.partition.get(), summed_width);
  // A single block is worth keeping for the derivative.
  if (blocks == 1) return cross_entropy(logits_head(m, head.weight, head.x), targets);
  return head_loss(x, convert(head.weight, x.dtype()), targets,
                   {.blocks = blocks, .weight_split = head.weight_split, .logits_dtype = m.logits_dtype()});
}

}  // namespace

TokenLoss token_loss(const ModelConfig& m, const HeadInputs& head, Value targets, Value segments,
                     double z_loss_multiplier) {
  Graph& g = targets.graph();
  Scope scope(g, "loss");
  auto [log_z, chosen] = scores_of(m, head, targets);  // [b s]
  Value mask = convert(not_equal(segments, 0), DType::kF32);
  Value z = log_z * log_z * z_loss_multiplier * mask;
  Value z_sum = reduce_sum(z, "");
  return {.cross_entropy = reduce_sum((log_z - chosen) * mask, "") + z_sum, .z_loss = z_sum};
}

Value likely_tokens(const ModelConfig& m, const HeadInputs& head) {
  Graph& g = head.x.graph();
  const Axis b = head.x.shape()[0], s = head.x.shape()[1];
  int64_t blocks = loss_blocks(Shape{b, s}, m.vocab, m.logits_dtype(), m.loss_blocks, g.partition.get());
  blocks = std::min(blocks, s.size);
  while (s.size % blocks != 0) ++blocks;
  if (blocks == 1) return argmax(logits_head(m, head.weight, head.x), "v");
  Value rows = transpose(split_axis(head.x, "s", {{"block", blocks}, {"s", s.size / blocks}}), "block b s d");
  auto block = [&](Value, std::span<const Value>, std::span<const Value> x) {
    return ScanBody{.carry = {}, .stack = {argmax(logits_head(m, head.weight, x[0]), "v")}};
  };
  Value done = scan(g, {.axis = "block", .length = blocks}, {}, {rows}, block).stack[0];
  return merge_axes(transpose(done, "b block s"), "block s", "s");
}

std::vector<const StepScalar*> summed_scalars(const ModelConfig& model, LossUse use) {
  std::vector<const StepScalar*> out;
  for (const StepScalar& row : kStepScalars) {
    bool there = row.part == ModelPart::kAny || (row.part == ModelPart::kExperts && model.experts > 1) ||
                 (row.part == ModelPart::kIndexer && model.indexer) ||
                 (row.part == ModelPart::kPrediction && model.prediction_layers > 0);
    if (row.adds == Adds::kOverGuesses) there = use == LossUse::kEvaluation && model.accepted_module > 0;
    if (!counted(row.adds).empty() && there) out.push_back(&row);
  }
  return out;
}

std::vector<TensorType> load_types(const ModelConfig& model) {
  if (model.all_moe_layers() == 0) return {};
  std::vector<TensorType> out{{DType::kS32, {{"l", model.all_moe_layers()}, {"e", model.experts}}}};
  if (model.drops_tokens()) out.push_back({DType::kS32, {}});
  return out;
}

namespace {

Value count_of(Value segments) { return reduce_sum(convert(not_equal(segments, 0), DType::kS32), ""); }

// What module after module predicts: targets, and their segments, 0 for one that does not count. Both [b s] s32.
struct Predicted {
  Value targets, segments;
};
std::vector<Predicted> predicted(const BatchFields<Value>& batch, int64_t modules) {
  std::vector<Predicted> out;
  Predicted p{batch.targets, batch.targets_segmentation};
  for (int64_t i = 0; i < modules; ++i) {
    p = {next_in_document(p.targets, batch.inputs_segmentation),
         next_in_document(p.segments, batch.inputs_segmentation)};
    out.push_back(p);
  }
  return out;
}

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
LossSums complete(const ModelConfig& config, const ModelOut& model, const ValuesByName& given,
                  const BatchFields<Value>& batch, const LossOptions& options) {
  LossSums out{.sums = {},
               .counts = options.counts ? *options.counts : loss_counts(config, batch, options.use),
               .loads = loads_of(model)};
  for (const StepScalar* row : summed_scalars(config, options.use)) {
    Value sum = given.find(row->name);
    out.sums.add(row->name, sum ? sum : zeros(batch.targets.graph(), {DType::kF32, {}}));
  }
  return out;
}

// Over the targets: of a number that each token has, or of one for all.
Value sum_over_targets(Value x, const BatchFields<Value>& batch) {
  if (x.rank() > 0) return reduce_sum(x * target_mask(batch), "");
  return x * convert(count_of(batch.targets_segmentation), DType::kF32);
}

// The weighted cross entropy of all modules.
Value prediction_loss(const ModelConfig& config, const ModelOut& model, HeadInputs head,
                      const std::vector<Predicted>& wanted) {
  Scope scope(head.x.graph(), "mtp");
  Value sum;
  for (size_t i = 0; i < model.predictions.size(); ++i) {
    head.x = model.predictions[i];
    Value own = token_loss(config, head, wanted[i].targets, wanted[i].segments, 0).cross_entropy;
    sum = sum ? sum + own : own;
  }
  return sum * config.prediction_loss_weight;
}

// 100 for each place that counts where the module guesses what the main head says of the same token.
Value acceptance(const ModelConfig& config, const ModelOut& model, HeadInputs head, const BatchFields<Value>& batch,
                 Value segments) {
  Value main = likely_tokens(config, head);
  for (int64_t i = 0; i < config.accepted_module; ++i) main = next_in_document(main, batch.inputs_segmentation);
  head.x = model.predictions[static_cast<size_t>(config.accepted_module - 1)];
  Value accepted = logical_and(equal(likely_tokens(config, head), main), not_equal(segments, 0));
  return reduce_sum(convert(accepted, DType::kF32), "") * 100.0;
}

}  // namespace

ValuesByName loss_counts(const ModelConfig& model, const BatchFields<Value>& batch, LossUse use) {
  ValuesByName out;
  out.add(counted(Adds::kOverTargets), count_of(batch.targets_segmentation));
  if (model.prediction_layers == 0) return out;
  std::vector<Value> counts;
  for (const Predicted& p : predicted(batch, model.prediction_layers)) counts.push_back(count_of(p.segments));
  Value all = counts[0];
  for (size_t i = 1; i < counts.size(); ++i) all = all + counts[i];
  out.add(counted(Adds::kOverPredictions), all);
  if (use == LossUse::kEvaluation && model.accepted_module > 0) {
    out.add(counted(Adds::kOverGuesses), counts[static_cast<size_t>(model.accepted_module - 1)]);
  }
  return out;
}

LossSums loss_sums(const ModelConfig& config, const ModelOut& model, const HeadInputs& head,
                   const BatchFields<Value>& batch, const LossOptions& options) {
  TokenLoss token = token_loss(config, head, batch.targets, batch.targets_segmentation, options.z_loss_multiplier);
  ValuesByName given;
  given.add("lm_loss", token.cross_entropy);
  given.add("z_loss", token.z_loss);
  for (const auto& [name, value] : model.losses) given.add(name, sum_over_targets(value, batch));
  if (!model.predictions.empty()) {
    const std::vector<Predicted> wanted = predicted(batch, config.prediction_layers);
    given.add("mtp_loss", prediction_loss(config, model, head, wanted));
    if (options.use == LossUse::kEvaluation && config.accepted_module > 0) {
      const Value segments = wanted[static_cast<size_t>(config.accepted_module - 1)].segments;
      given.add("mtp_acceptance_rate", acceptance(config, model, head, batch, segments));
    }
  }
  return complete(config, model, given, batch, options);
}

LossSums warmup_loss_sums(const ModelConfig& config, const ModelOut& model, const BatchFields<Value>& batch,
                          const LossOptions& options) {
  ValuesByName given;
  if (Value loss = model.losses.find("indexer_loss")) given.add("indexer_loss", sum_over_targets(loss, batch));
  return complete(config, model, given, batch, options);
}

Value target_mask(const BatchFields<Value>& batch) {
  return convert(not_equal(batch.targets_segmentation, 0), DType::kF32);
}

Value divisor(Value count) { return convert(count, DType::kF32) + 1e-8; }

Value LossSums::mean(std::string_view name) const {
  return sums.find(name) / divisor(counts.find(counted(step_scalar(name).adds)));
}

Value LossSums::loss() const {
  Value total;
  for (const auto& [name, sum] : sums) {
    if (step_scalar(name).in_loss) total = total ? total + mean(name) : mean(name);
  }
  return total;
}

}  // namespace fathom
