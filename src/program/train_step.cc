#include <fmt/format.h>

#include <bit>
#include <set>

#include "base/log.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "program/builder.h"
#include "program/update.h"
#include "train/balance.h"
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
                 const BatchFields<Value>& batch, ModelOptions options, LossOptions loss) {
  options.logits = false;  // the loss makes them, in blocks
  options.predictions = true;
  loss.z_loss_multiplier = config.z_loss_multiplier;
  const Weights weights = make_weights(spec, state);
  ModelOut model = decoder(spec.model, weights, model_inputs(batch), options);
  HeadInputs head{model.normed, weights.logits, spec.entries[spec.index("params.decoder.logits")].sharding};
  return loss_sums(spec.model, model, head, batch, loss);
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
  std::vector<Value> gradients;  // of the trained entries in their order and dtype
};

// The parameters of the indexer that are trained, by their names within a layer.
std::set<std::string> trained_of_indexer(const StateSpec& spec) {
  std::set<std::string> out;
  for (size_t i : spec.with_role(StateRole::kTrained)) {
    if (auto leaf = spec.leaf_of_indexer(spec.entries[i])) out.insert(*leaf);
  }
  return out;
}

// What a layer gives beside its output for the gradient of a parameter.
std::string gradient_of(const std::string& leaf) { return "gradient." + leaf; }

// Of each trained array, from what the layers have given; null for others than the indexer's.
std::vector<Value> gradients_of_layers(const StateSpec& spec, const ModelOut& model) {
  std::vector<Value> out;
  for (size_t i : spec.with_role(StateRole::kTrained)) {
    const StateEntry& entry = spec.entries[i];
    const std::optional<std::string> leaf = spec.leaf_of_indexer(entry);
    Value of_stack = leaf ? model.stacks.at(*spec.param(entry).stack).beside.find(gradient_of(*leaf)) : Value();
    const int64_t layer = spec.arrays[entry.array].layer;
    if (of_stack && layer >= 0) of_stack = squeeze(slice(of_stack, "l", layer, layer + 1), "l");
    out.push_back(of_stack);
  }
  return out;
}

// The dense warm-up (V3.2 report, section 2.1.1). A layer's indexer learns from the layer's own loss, whose inputs are
// detached: its gradient is made in the layer's forward pass, and no layer keeps anything for later.
LossAndGradients warmup_batch(const StateSpec& spec, std::span<const Value> state, const BatchFields<Value>& batch,
                              const ValuesByName& counts) {
  const std::set<std::string> leaves = trained_of_indexer(spec);
  const Value targets = divisor(counts.find(counted(Adds::kOverTargets)));
  Value weight = target_mask(batch) / (targets * static_cast<double>(spec.model.all_layers()));
  ModelOptions options{.logits = false, .predictions = true};
  options.in_layer = [&](const LayerWeights& weights, const LayerOut& out) {
    ValuesByName more;
    Value loss = out.beside.find("indexer_loss");
    if (!loss) return more;
    std::vector<Value> wanted;
    LayerWeights own = weights;
    for (const std::string& leaf : leaves) wanted.push_back(*layer_slot(own, leaf));
    std::vector<Value> d = gradients(reduce_sum(loss * weight, ""), wanted);
    size_t next = 0;
    for (const std::string& leaf : leaves) more.add(gradient_of(leaf), d[next++]);
    return more;
  };
  ModelOut model = decoder(spec.model, make_weights(spec, state), model_inputs(batch), options);
  return {warmup_loss_sums(spec.model, model, batch, {.counts = counts}),
          or_zeros(gradients_of_layers(spec, model), values_at(spec.with_role(StateRole::kTrained), state))};
}

// With fp8 the loss is multiplied before it is differentiated, by a power of two: of a mean over many tokens the
// gradient of one is so small that the least scale of a block (fused/fp8.h) would round it away.
double loss_scale(const Config& config, const StateSpec& spec, const BatchFields<Value>& batch) {
  if (!spec.model.fp8) return 1;
  const int64_t tokens = batch.inputs.shape().elements() * config.gradient_accumulation_steps;
  return static_cast<double>(std::bit_ceil(static_cast<uint64_t>(tokens)));
}

// Sums of a batch or micro-batch, and the gradients of its loss; `counts` are those of the whole batch.
LossAndGradients of_batch(const Config& config, const StateSpec& spec, std::span<const Value> state,
                          const BatchFields<Value>& batch, const ValuesByName& counts) {
  if (spec.model.indexer_warmup) return warmup_batch(spec, state, batch, counts);
  std::vector<Value> trained = values_at(spec.with_role(StateRole::kTrained), state);
  LossSums sums = sums_of(config, spec, state, batch, model_options(config), {.counts = counts});
  const double scale = loss_scale(config, spec, batch);
  if (scale == 1) return {sums, or_zeros(gradients(sums.loss(), trained), trained)};
  std::vector<Value> scaled = or_zeros(gradients(sums.loss() * scale, trained), trained);
  for (Value& d : scaled) d = d * (1 / scale);
  return {sums, scaled};
}

// [b s] -> [a b/a s], micro-batch i of the rows i, i + A, ...
Value micro_batches(Value x, int64_t count) {
  x = split_axis(x, "b", {{"b", x.size("b") / count}, {"a", count}});
  return transpose(x, "a b s");
}

// Sums gradients over the micro-batches in float32, each of the micro-batch's share of the loss of the whole batch.
LossAndGradients accumulated(const Config& config, const StateSpec& spec, std::span<const Value> state,
                             const BatchFields<Value>& batch, const ValuesByName& counts) {
  int64_t count = config.gradient_accumulation_steps;
  Graph& g = batch.inputs.graph();
  std::vector<Value> trained = values_at(spec.with_role(StateRole::kTrained), state);
  const size_t scalars = summed_scalars(spec.model, LossUse::kTraining).size();
  std::vector<Value> init(scalars, zeros(g, {DType::kF32, {}}));
  for (const TensorType& type : load_types(spec.model)) init.push_back(zeros(g, type));
  const size_t first_gradient = init.size();
  for (const Value& p : trained) init.push_back(zeros(g, {DType::kF32, p.shape()}));
  std::vector<Value> stacks;
  for (const auto& field : batch.fields()) stacks.push_back(micro_batches(batch.*field.member, count));
  LossSums names;
  auto micro_step = [&](Value, std::span<const Value> carry, std::span<const Value> x) {
    BatchFields<Value> micro;
    for (size_t i = 0; i < x.size(); ++i) micro.*micro.fields()[i].member = x[i];
    LossAndGradients part = of_batch(config, spec, state, micro, counts);
    names = part.sums;
    std::vector<Value> parts = part.sums.sums.values();
    for (const auto& [name, load] : part.sums.loads) parts.push_back(load);
    for (const Value& d : part.gradients) parts.push_back(convert(d, DType::kF32));
    for (size_t i = 0; i < parts.size(); ++i) parts[i] = carry[i] + parts[i];
    return ScanBody{.carry = parts, .stack = {}};
  };
  std::vector<Value> total = scan(g, {.axis = "a", .length = count}, init, stacks, micro_step).carry;
  LossAndGradients out{.sums = {.sums = names.sums.with(std::span(total).first(scalars)),
                                .counts = counts,
                                .loads = names.loads.with(std::span(total).subspan(scalars))},
                       .gradients = {}};
  for (size_t i = 0; i < trained.size(); ++i) {
    out.gradients.push_back(convert(total[first_gradient + i], trained[i].dtype()));
  }
  return out;
}

LossAndGradients loss_and_gradients(const Config& config, const StateSpec& spec, std::span<const Value> state,
                                    const BatchFields<Value>& batch) {
  const ValuesByName counts = loss_counts(spec.model, batch);
  LossAndGradients out = config.gradient_accumulation_steps > 1 ? accumulated(config, spec, state, batch, counts)
                                                                : of_batch(config, spec, state, batch, counts);
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

Value sum_of(const ValuesByName& scalars) {
  std::vector<Value> parts;
  for (const Value& v : scalars.values()) parts.push_back(expand(v, "i"));
  return reduce_sum(concatenate(parts, "i"), "i");
}

}  // namespace

Program train_step(const Config& config, const StateSpec& spec, const BatchShape& shape) {
  if (spec.model.fp8) {
    log_once(LogLevel::kInfo, fmt::format("quantization=fp8: no hardware here has products of 8-bit numbers in blocks; "
                                          "numbers are rounded as for one and multiplied in {}",
                                          name(config.dtype)));
  }
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
  Updated next = optimizer_update(
      config, spec, state, lg.gradients,
      {.rate = rate, .clip = clip_factor(norm, threshold), .count = convert(state[counter], DType::kF32) + 1.0});
  next.state[counter] = state[counter] + 1;
  move_by_rule(config, spec, state, lg.sums.loads, next.state);

  ValuesByName scalars = loss_scalars(lg.sums);
  scalars.add("raw_grad_norm", norm);
  scalars.add("grad_norm", threshold > 0 ? minimum(norm, threshold) : norm);
  scalars.add("learning_rate", rate);
  scalars.add("stop", convert(reduce_max(stop, "device"), DType::kF32));
  for (size_t i = 0; i < next.state.size(); ++i) {
    if (next.state[i]) b.state_result(spec.entries[i], next.state[i]);
  }
  for (const auto& [name, x] : load_scalars(lg.sums.loads)) scalars.add(name, x);
  b.scalars("scalars", scalars);
  b.result("targets", lg.sums.counts.find(counted(Adds::kOverTargets)));
  if (Value load = lg.sums.loads.find("load")) b.result("expert_load", load);
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
  LossSums sums = sums_of(config, spec, state, b.batch(shape), {}, {.use = LossUse::kEvaluation});
  b.scalars("sums", sums.sums);
  b.scalars("counts", sums.counts);
  return b.finish();
}

}  // namespace fathom
