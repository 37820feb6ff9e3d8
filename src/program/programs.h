// The programs of a training run. Each is a pure function of the configuration and the shapes: same input, same bytes.
#pragma once

#include <cstdint>

#include "graph/emit/emit.h"
#include "program/state.h"

namespace fathom {

// Rows of tokens as a program takes them.
struct BatchShape {
  int64_t rows = 0;  // all micro-batches together
  int64_t length = 0;
};

// Type and split of the batch arguments, whose names are those of base/batch_fields.h.
ArgSpec batch_argument(const StateSpec& state, const BatchShape& shape);

// The batch with as many empty rows, and places at the end of rows, as the mesh needs to divide it.
BatchShape filled_for_mesh(const StateSpec& state, const BatchShape& shape);

// A program takes state entries and batch arrays (base/batch_fields.h) by their names, and gives state entries back
// under theirs. Below, "state" is all of the list in program/state.h, "parameters" its parameters.

// One optimizer step.
//   takes: state, the batch, stop [device] s32: for each device of the mesh the wish of its process to stop, or 0.
//   gives: the entries that it changes (trained parameters, their moments, step), each in the memory of its argument;
//          scalars f32: the rows of metrics/step_scalars.h that a program makes, and stop, the largest of the wishes;
//          targets s32: how many targets count;
//          expert_load [l e] s32: of each layer with experts the tokens that chose each expert, padding left out;
//          gradient_squares and parameter_squares f32: for each trained array the sum of squares of its gradient before
//          clipping, and of the array after the step.
// With gradient_accumulation_steps = A, micro-batch i has the rows i, i + A, i + 2A, ...
Program train_step(const Config& config, const StateSpec& state, const BatchShape& batch);

// Loss and gradients of one batch without an update.
//   takes: parameters, the batch.   gives: scalars (those of the loss), "gradient.<array>" of the trained parameters.
Program gradient_step(const Config& config, const StateSpec& state, const BatchShape& batch);

// One evaluation batch.
//   takes: parameters, the batch.   gives: sums f32 (the rows that add up), counts s32 (of places, by counted()).
Program eval_step(const Config& config, const StateSpec& state, const BatchShape& batch);

// Logits [b s v], those of modules for multi-token prediction ("mtp_1.logits"), and with `capture` the intermediates:
// embedding, final_norm, and of each stack what its layers give beside their output for each token ("dense.self_attn",
// "moe.router.experts"; the layer axis in front).
//   takes: parameters, the batch's inputs.
Program forward(const Config& config, const StateSpec& state, const BatchShape& batch, bool capture = false);

// Logits f32 [b v] of one place of each row, and of no other.
//   takes: parameters, the batch's inputs, last s32 [b]: the place.
Program last_logits(const Config& config, const StateSpec& state, const BatchShape& batch);

// Initial values of the chosen entries: parameters drawn, moments and counters zero.
//   takes: seed u32 [2], the high word first.   gives: the entries.
Program init_state(const StateSpec& state, const StateChoice& choice);

}  // namespace fathom
