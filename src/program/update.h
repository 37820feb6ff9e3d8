// The part of a step behind the gradients: what the optimizer and the rules make of the state.
#pragma once

#include <span>
#include <vector>

#include "config/config.h"
#include "graph/graph.h"
#include "model/values_by_name.h"
#include "program/state.h"

namespace fathom {

struct Updated {
  std::vector<Value> state;        // at the indices of the entries; null where nothing changes
  ValuesByName parameter_squares;  // sums of squares, by array
};

// What the optimizer takes beside the state and the gradients; f32 scalars.
struct StepScalars {
  Value rate, clip;
  Value count;  // of the updates, this one included
};

// Sums of squares of the gradients, which are those of the trained entries in their order; by array.
ValuesByName gradient_squares(const StateSpec& spec, std::span<const Value> gradients);

// The trained parameters and their moments after the step, by `opt_type`; `state` stands at the entries' indices.
Updated optimizer_update(const Config& config, const StateSpec& spec, std::span<const Value> state,
                         std::span<const Value> gradients, const StepScalars& step);

// What no gradient moves: the routers' biases, by the load of the whole batch (`loads`, as LossSums has them). What
// trainable_parameters_mask leaves out stays as it is.
void move_by_rule(const Config& config, const StateSpec& spec, std::span<const Value> state, const ValuesByName& loads,
                  std::vector<Value>& next);

}  // namespace fathom
