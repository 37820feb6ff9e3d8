#include <fmt/format.h>

#include <set>

#include "fused/sum_of_squares.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "program/builder.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace fathom {
namespace {

ModelOptions model_options(const Config& config) {
  ModelOptions out;
  if (config.remat) out.remat_saved = std::set<std::string>(config.remat_saved.begin(), config.remat_saved.end());
  return out;
}

LossSums sums_of(const Config& config, const StateSpec& spec, std::span<const Value> state,
                 const BatchFields<Value>& batch, const ModelOptions& options) {
  ModelOut model = decoder(spec.model, make_weights(spec, state), model_inputs(batch), options);
  return loss_sums(spec.model, model, batch, config.z_loss_multiplier);
}

std::vector<Value> values_at(const std::vector<size_t>& entries, std::span<const Value> state) {
  std::vector<Value> out;
  for (size_t i : entries) out.push_back(state[i]);
  return out;
}

// A parameter that the loss does not reach has the gradient zero: moments and decay still act on it, as in the peer.
std::vector<Value> or_zeros(std::vector<Value> gradients, const std::vector<Value>& of) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i]) gradients[i] = zeros_like(of[i]);
  }
  return gradients;
}

struct LossAndGradients {
  LossSums sums;
  std::vector<Value> gradients;  // of the mean over all targets, of the trained entries in their order and dtype
};

LossAndGradients whole_batch(const Config& config, const StateSpec& spec, std::span<const Value> state,
                             const BatchFields<Value>& batch) {
  std::vector<Value> trained = values_at(spec.with_role(StateRole::kTrained), state);
  LossSums sums = sums_of(config, spec, state, batch, model_options(config));
  return {sums, or_zeros(gradients(sums.loss(), trained), trained)};
}

// [b s] -> [a b/a s], micro-batch i of the rows i, i + A, ...
Value micro_batches(Value x, int64_t count) {
  x = split_axis(x, "b", {{"b", x.size("b") / count}, {"a", count}});
  return transpose(x, "a b s");
}

// Sums gradients over the micro-batches in float32. Each contributes its sum over targets, scaled down by a constant so
// that cotangents stay small; at the end the sum is divided by the number of targets of the whole batch.
LossAndGradients accumulated(const Config& config, const StateSpec& spec, std::span<const Value> state,
                             const BatchFields<Value>& batch) {
  int64_t count = config.gradient_accumulation_steps;
  Graph& g = batch.inputs.graph();
  std::vector<Value> trained = values_at(spec.with_role(StateRole::kTrained), state);
  const double places = static_cast<double>(batch.inputs.shape().elements());
  const size_t scalars = summed_scalars(spec.model).size();
  std::vector<Value> init(scalars, zeros(g, {DType::kF32, {}}));
  init.push_back(zeros(g, {DType::kS32, {}}));
  for (const Value& p : trained) init.push_back(zeros(g, {DType::kF32, p.shape()}));
  std::vector<Value> stacks;
  for (const auto& field : batch.fields()) stacks.push_back(micro_batches(batch.*field.member, count));
  ValuesByName names;
  auto micro_step = [&](Value, std::span<const Value> carry, std::span<const Value> x) {
    BatchFields<Value> micro;
    for (size_t i = 0; i < x.size(); ++i) micro.*micro.fields()[i].member = x[i];
    LossSums sums = sums_of(config, spec, state, micro, model_options(config));
    names = sums.sums;
    std::vector<Value> parts = sums.sums.values();
    parts.push_back(sums.targets);
    for (const Value& d : or_zeros(gradients(sums.loss_sum() / places, trained), trained)) {
      parts.push_back(convert(d, DType::kF32));
    }
    for (size_t i = 0; i < parts.size(); ++i) parts[i] = carry[i] + parts[i];
    return ScanBody{.carry = parts, .stack = {}};
  };
  std::vector<Value> total = scan(g, {.axis = "a", .length = count}, init, stacks, micro_step).carry;
  LossAndGradients out{.sums = {names.with(std::span(total).first(scalars)), total[scalars]}, .gradients = {}};
  Value scale = places / divisor(out.sums.targets);
  for (size_t i = 0; i < trained.size(); ++i) {
    out.gradients.push_back(convert(total[scalars + 1 + i] * scale, trained[i].dtype()));
  }
  return out;
}

LossAndGradients loss_and_gradients(const Config& config, const StateSpec& spec, std::span<const Value> state,
                                    const BatchFields<Value>& batch) {
  LossAndGradients out = config.gradient_accumulation_steps > 1 ? accumulated(config, spec, state, batch)
                                                                : whole_batch(config, spec, state, batch);
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    Value& g = out.gradients[i];
    if (g.dtype() == DType::kF32) g = convert(g, config.grad_dtype);
    // So that the sum over the devices is a reduce-scatter.
    if (spec.partition) g = shard(g, spec.entries[trained[i]].sharding);
  }
  return out;
}

// The scalars of the loss.
ValuesByName loss_scalars(const LossSums& sums) {
  ValuesByName out;
  out.add("loss", sums.loss());
  for (const auto& [name, sum] : sums.sums) out.add(name, sums.mean(name));
  return out;
}

Schedule schedule_of(const Config& c) {
  return {.peak = c.learning_rate,
          .steps = c.learning_rate_schedule_steps,
          .warmup_fraction = c.warmup_steps_fraction,
          .final_fraction = c.learning_rate_final_fraction,
          .type = std::string(name_of(c.lr_schedule_type)),
          .wsd_decay_fraction = c.wsd_decay_steps_fraction,
          .wsd_decay_style = std::string(name_of(c.wsd_decay_style))};
}

// One number for each device of the mesh, each on its device.
Value device_argument(ProgramBuilder& b, const StateSpec& spec, std::string name) {
  Sharding split;
  if (spec.partition) split.dims = {spec.partition->all_axes()};
  const int64_t devices = spec.partition ? spec.partition->mesh().devices() : 1;
  return b.arg(std::move(name), {DType::kS32, {{"device", devices}}}, std::move(split));
}

struct Updated {
  std::vector<Value> state;  // at the indices of the entries; null where nothing changes
  ValuesByName parameter_squares;
};

// What the optimizer takes beside the state and the gradients; f32 scalars.
struct StepScalars {
  Value rate, clip;
  Value count;  // of the updates, this one included
};

// The trained parameters and their moments after the step.
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

Updated update(const Config& config, const StateSpec& spec, std::span<const Value> state,
               std::span<const Value> gradients, const StepScalars& step) {
  if (config.opt_type == OptType::kSgd) return sgd_update(spec, state, gradients, step);
  return adamw_update(config, spec, state, gradients, step);
}

ValuesByName gradient_squares(const StateSpec& spec, std::span<const Value> gradients) {
  ValuesByName out;
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    const StateEntry& entry = spec.entries[trained[i]];
    out.add(spec.array_name(entry), sum_of_squares(gradients[i], entry.sharding));
  }
  return out;
}

Value sum_of(const ValuesByName& scalars) {
  std::vector<Value> parts;
  for (const Value& v : scalars.values()) parts.push_back(expand(v, "i"));
  return reduce_sum(concatenate(parts, "i"), "i");
}

}  // namespace

Program train_step(const Config& config, const StateSpec& spec, const BatchShape& shape) {
  ProgramBuilder b("train_step", config.matmul_precision, spec);
  std::vector<Value> state = b.state(every_entry);
  BatchFields<Value> batch = b.batch(shape);
  Value stop = device_argument(b, spec, "stop");
  LossAndGradients lg = loss_and_gradients(config, spec, state, batch);

  Scope scope(b.graph(), "optimizer");
  const size_t counter = spec.index("step");
  const double threshold = config.gradient_clipping_threshold;
  ValuesByName squares = gradient_squares(spec, lg.gradients);
  Value norm = sqrt(sum_of(squares));
  Value rate = learning_rate(schedule_of(config), state[counter]);
  Updated next =
      update(config, spec, state, lg.gradients,
             {.rate = rate, .clip = clip_factor(norm, threshold), .count = convert(state[counter], DType::kF32) + 1.0});
  next.state[counter] = state[counter] + 1;

  ValuesByName scalars = loss_scalars(lg.sums);
  scalars.add("raw_grad_norm", norm);
  scalars.add("grad_norm", threshold > 0 ? minimum(norm, threshold) : norm);
  scalars.add("learning_rate", rate);
  scalars.add("stop", convert(reduce_max(stop, "device"), DType::kF32));
  for (size_t i = 0; i < next.state.size(); ++i) {
    if (next.state[i]) b.state_result(spec.entries[i], next.state[i]);
  }
  b.scalars("scalars", scalars);
  b.result("targets", lg.sums.targets);
  b.scalars("gradient_squares", squares);
  b.scalars("parameter_squares", next.parameter_squares);
  return b.finish();
}

Program gradient_step(const Config& config, const StateSpec& spec, const BatchShape& shape) {
  ProgramBuilder b("gradient_step", config.matmul_precision, spec);
  std::vector<Value> state = b.state(parameters_alone);
  BatchFields<Value> batch = b.batch(shape);
  LossAndGradients lg = loss_and_gradients(config, spec, state, batch);
  b.scalars("scalars", loss_scalars(lg.sums));
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (size_t i = 0; i < trained.size(); ++i) {
    const StateEntry& entry = spec.entries[trained[i]];
    b.result("gradient." + spec.array_name(entry), lg.gradients[i], entry.sharding);
  }
  return b.finish();
}

Program eval_step(const Config& config, const StateSpec& spec, const BatchShape& shape) {
  ProgramBuilder b("eval_step", config.matmul_precision, spec);
  std::vector<Value> state = b.state(parameters_alone);
  LossSums sums = sums_of(config, spec, state, b.batch(shape), {});
  b.scalars("sums", sums.sums);
  b.result("targets", sums.targets);
  return b.finish();
}

}  // namespace fathom
