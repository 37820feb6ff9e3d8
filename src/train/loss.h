// The loss: cross entropy over the vocabulary with padding masks and z-loss, that of multi-token prediction, and what
// layers add to it.
#pragma once

#include "base/batch_fields.h"
#include "metrics/step_scalars.h"
#include "model/decoder.h"

namespace fathom {

struct TokenLoss {
  Value cross_entropy;  // f32 scalar: sum over the targets that count, the z-loss included
  Value z_loss;         // f32 scalar: the z-loss's share of that sum
};

// What a head makes logits of: x [b s d] after the final norm, the head's weight [v d] and its split over the mesh.
struct HeadInputs {
  Value x, weight;
  Sharding weight_split = {};
};

// Per target: logsumexp(logits) - logits[target] + z * logsumexp(logits)^2, summed over the targets whose segment is
// not 0. targets and segments [b s] s32. Where a device's logits are many they are made in blocks of tokens
// (fused/head_loss.h).
TokenLoss token_loss(const ModelConfig& config, const HeadInputs& head, Value targets, Value segments,
                     double z_loss_multiplier);

// The most likely token, s32 [b s]; logits in blocks of tokens as above.
Value likely_tokens(const ModelConfig& config, const HeadInputs& head);

// What is summed of a batch beside what is differentiated.
enum class LossUse : uint8_t { kTraining, kEvaluation };

// The rows of metrics/step_scalars.h that add up, of the parts that the model has.
std::vector<const StepScalar*> summed_scalars(const ModelConfig& model, LossUse use);

// Types of LossSums::loads, in its order.
std::vector<TensorType> load_types(const ModelConfig& model);

// How many places count for each kind of scalar, by counted(): s32 scalars.
ValuesByName loss_counts(const ModelConfig& model, const BatchFields<Value>& batch, LossUse use = LossUse::kTraining);

// Those rows for one batch or micro-batch.
struct LossSums {
  ValuesByName sums;    // f32 scalars, one for each of summed_scalars(), in its order
  ValuesByName counts;  // loss_counts() of the batch; for a micro-batch of the whole one
  // Beside the loss, of models with experts; they add up over micro-batches.
  //   load     [l e] s32: tokens that chose each expert of each layer that has some, padding left out
  //   dropped  s32 scalar: choices of those that experts dropped, where they can
  ValuesByName loads;

  // The mean of one of them, or of all terms of the loss together: what is differentiated. For a micro-batch its share
  // of the mean over the whole batch.
  Value mean(std::string_view name) const;
  Value loss() const;
};

struct LossOptions {
  double z_loss_multiplier = 0;
  LossUse use = LossUse::kTraining;
  // Of the whole batch, where the one at hand is a micro-batch.
  std::optional<ValuesByName> counts = {};
};

// `model` needs no logits of its own; multi-token prediction counts where its modules ran.
LossSums loss_sums(const ModelConfig& config, const ModelOut& model, const HeadInputs& head,
                   const BatchFields<Value>& batch, const LossOptions& options);

// The same in the indexer's dense warm-up: the indexer's loss alone.
LossSums warmup_loss_sums(const ModelConfig& config, const ModelOut& model, const BatchFields<Value>& batch,
                          const LossOptions& options);

// f32 [b s]: 1 for a target that counts.
Value target_mask(const BatchFields<Value>& batch);

// A number of places as a divisor. As the peer's: the small number keeps a batch without targets finite.
Value divisor(Value count);

}  // namespace fathom
