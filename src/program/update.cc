#include "program/update.h"

#include "fused/sum_of_squares.h"
#include "graph/ops.h"
#include "train/balance.h"
#include "train/optimizer.h"

namespace fathom {
namespace {

Updated adamw_update(const Config& config, const StateSpec& spec, std::span<const Value> state,
                     std::span<const Value> gradients, const StepScalars& step) {
  AdamW adam{config.adam_b1, config.adam_b2, config.adam_eps, config.adam_eps_root, config.adam_weight_decay};
  AdamW undecayed = adam;
  undecayed.weight_decay = 0;
  const AdamScalars now = adam_scalars(adam, step.rate, step.count, step.clip);
  Updated out{.state = std::vector<Value>(spec.entries.size()), .parameter_squares = {}};
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    const StateEntry& entry = spec.entries[trained[i]];
    const size_t mu = spec.moment("mu", trained[i]), nu = spec.moment("nu", trained[i]);
    AdamStep done = adamw(entry.decayed ? adam : undecayed, {state[trained[i]], state[mu], state[nu]}, gradients[i],
                          now, entry.sharding);
    out.state[trained[i]] = done.state.parameter;
    out.state[mu] = done.state.mu;
    out.state[nu] = done.state.nu;
    out.parameter_squares.add(spec.array_name(entry), done.squares);
  }
  return out;
}

Updated sgd_update(const StateSpec& spec, std::span<const Value> state, std::span<const Value> gradients,
                   const StepScalars& step) {
  Updated out{.state = std::vector<Value>(spec.entries.size()), .parameter_squares = {}};
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    const StateEntry& entry = spec.entries[trained[i]];
    Value next = sgd(state[trained[i]], gradients[i], step.rate, step.clip);
    out.state[trained[i]] = next;
    out.parameter_squares.add(spec.array_name(entry), sum_of_squares(next, entry.sharding));
  }
  return out;
}

// The tokens of each expert that a router's bias is of, [e] or [l e]: a part of `load` [l e], in which the layers of
// all stacks with experts follow one another.
Value load_of(const StateSpec& spec, const StateEntry& bias, Value load) {
  const std::vector<Stack> all = stacks(spec.model);
  const size_t own = *spec.param(bias).stack;
  int64_t first = 0;
  for (size_t i = 0; i < own; ++i) first += all[i].kind == LayerKind::kMoe ? all[i].count : 0;
  const int64_t layer = spec.arrays[bias.array].layer;
  if (layer < 0) return slice(load, "l", first, first + all[own].count);
  return squeeze(slice(load, "l", first + layer, first + layer + 1), "l");
}

}  // namespace

ValuesByName gradient_squares(const StateSpec& spec, std::span<const Value> gradients) {
  ValuesByName out;
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    const StateEntry& entry = spec.entries[trained[i]];
    out.add(spec.array_name(entry), sum_of_squares(gradients[i], entry.sharding));
  }
  return out;
}

Updated optimizer_update(const Config& config, const StateSpec& spec, std::span<const Value> state,
                         std::span<const Value> gradients, const StepScalars& step) {
  Updated out = config.opt_type == OptType::kSgd ? sgd_update(spec, state, gradients, step)
                                                 : adamw_update(config, spec, state, gradients, step);
  // The norm of the parameters is that of all that may be trained, as the peer's.
  for (size_t i : spec.with_role(StateRole::kFrozen)) {
    out.parameter_squares.add(spec.array_name(spec.entries[i]), sum_of_squares(state[i], spec.entries[i].sharding));
  }
  return out;
}

void move_by_rule(const Config& config, const StateSpec& spec, std::span<const Value> state, const ValuesByName& loads,
                  std::vector<Value>& next) {
  if (config.routed_bias_update_rate <= 0) return;
  const std::vector<std::string>& mask = config.trainable_parameters_mask;
  const auto chosen = parameters_named("trainable_parameters_mask", mask);
  for (size_t i : spec.with_role(StateRole::kMovedByRule)) {
    if (!mask.empty() && !chosen(spec.param(spec.entries[i]))) continue;
    Value load = load_of(spec, spec.entries[i], loads.find("load"));
    next[i] = moved_bias(state[i], load, config.routed_bias_update_rate);
  }
}

}  // namespace fathom
