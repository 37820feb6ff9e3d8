// The programs of a training run. Each is a pure function of the configuration and the shapes: same input, same bytes.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "graph/emit/emit.h"
#include "program/state.h"

namespace fathom {

// Rows of tokens as a program takes them.
struct BatchShape {
  int64_t rows = 0;  // all micro-batches together
  int64_t length = 0;
};

// The batch arguments, in order; all s32 [rows, length].
inline constexpr std::array<std::string_view, 5> kBatchArguments = {"inputs", "inputs_position", "inputs_segmentation",
                                                                    "targets", "targets_segmentation"};

// Index of each scalar in the vector of scalars that train_step gives.
enum TrainScalar { kLoss, kLmLoss, kZLoss, kBalanceLoss, kRawGradNorm, kGradNorm, kLearningRate, kTrainScalars };

// One optimizer step.
//   arguments: parameters (all arrays), mu and nu (trained arrays), step (s32), the batch.
//   results:   trained parameters, mu, nu, step + 1 (each in the memory of its argument), scalars f32 [kTrainScalars],
//              tokens s32 (unmasked targets), gradient_squares and parameter_squares f32 [trained] (sums of squares of
//              each array's gradient before clipping, and of the array after the step).
// With gradient_accumulation_steps = A, micro-batch i has the rows i, i + A, i + 2A, ...
Program train_step(const Config& config, const StateLayout& layout, const BatchShape& batch);

// Loss and gradients of one batch without an update.
//   arguments: parameters, the batch.   results: scalars as above (those of the loss), gradients of the trained arrays.
Program gradient_step(const Config& config, const StateLayout& layout, const BatchShape& batch);

// Sums over one evaluation batch.
//   arguments: parameters, the batch.   results: f32 [4]: cross entropy, tokens, z-loss, balance loss.
Program eval_step(const Config& config, const StateLayout& layout, const BatchShape& batch);

// Logits, and with `capture` the intermediates.
//   arguments: parameters, inputs, inputs_position, inputs_segmentation.
//   results:   logits [b s v] and, captured, what `names` of the signature's results say ("embedding", "final_norm",
//              "dense.self_attn", "moe.experts", ...; per-layer ones with the layer axis in front).
Program forward(const Config& config, const StateLayout& layout, const BatchShape& batch, bool capture = false);

// Argmax (s32 [b]) of the logits at one place of each row, for greedy completion without a cache.
//   arguments: parameters, inputs, inputs_position, inputs_segmentation, last (s32: the place).
Program next_token(const Config& config, const StateLayout& layout, const BatchShape& batch);

// Initial parameters.   arguments: seed (s32).   results: all arrays.
Program init_parameters(const StateLayout& layout);
// Zero moments.   results: mu and nu of the trained arrays, step 0.
Program init_optimizer(const Config& config, const StateLayout& layout);

}  // namespace fathom
