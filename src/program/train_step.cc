#include <fmt/format.h>

#include <set>

#include "fused/sum_of_squares.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "program/builder.h"
#include "train/adamw.h"
#include "train/loss.h"
#include "train/schedule.h"

namespace fathom {
namespace {

// Sums over the tokens of a batch or micro-batch; all f32 scalars.
struct LossSums {
  Value cross_entropy, z_loss, tokens;
  Value balance;  // per layer mean, times the number of tokens so that micro-batches add up

  std::vector<Value> list() const { return {cross_entropy, z_loss, tokens, balance}; }
  static LossSums from(std::span<const Value> v) { return {v[0], v[1], v[2], v[3]}; }
};

ModelOptions model_options(const Config& config) {
  ModelOptions out;
  if (config.remat) out.remat_saved = std::set<std::string>(config.remat_saved.begin(), config.remat_saved.end());
  return out;
}

LossSums loss_sums(const Config& config, const StateLayout& layout, std::span<const Value> parameters,
                   const BatchValues& batch, const ModelOptions& options) {
  ModelOut model = decoder(layout.model, make_weights(layout, parameters), batch.model(), options);
  TokenLoss loss = token_loss(model.logits, batch.targets, batch.target_segments, config.z_loss_multiplier);
  Value balance = model.balance_loss ? model.balance_loss : zeros_like(loss.tokens);
  return {loss.cross_entropy, loss.z_loss, loss.tokens, balance * loss.tokens};
}

// As the peer's: the small number keeps a batch without tokens finite.
Value denominator(const LossSums& sums) { return sums.tokens + 1e-8; }
Value objective(const LossSums& sums) { return (sums.cross_entropy + sums.balance) / denominator(sums); }

std::vector<Value> trained_of(const StateLayout& layout, std::span<const Value> parameters) {
  std::vector<Value> out;
  for (size_t i : layout.trained) out.push_back(parameters[i]);
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
  std::vector<Value> gradients;  // of the mean over all tokens, in each parameter's dtype
};

LossAndGradients whole_batch(const Config& config, const StateLayout& layout, std::span<const Value> parameters,
                             const BatchValues& batch) {
  std::vector<Value> trained = trained_of(layout, parameters);
  LossSums sums = loss_sums(config, layout, parameters, batch, model_options(config));
  return {sums, or_zeros(gradients(objective(sums), trained), trained)};
}

// [b s] -> [a b/a s], micro-batch i of the rows i, i + A, ...
Value micro_batches(Value x, int64_t count) {
  x = split_axis(x, "b", {{"b", x.size("b") / count}, {"a", count}});
  return transpose(x, "a b s");
}

// Sums gradients over the micro-batches in float32. Each contributes its sum over tokens, scaled down by a constant so
// that cotangents stay small; at the end the sum is divided by the number of tokens of the whole batch.
LossAndGradients accumulated(const Config& config, const StateLayout& layout, std::span<const Value> parameters,
                             const BatchValues& batch) {
  int64_t count = config.gradient_accumulation_steps;
  Graph& g = batch.inputs.graph();
  std::vector<Value> trained = trained_of(layout, parameters);
  double places = static_cast<double>(batch.inputs.shape().elements());
  std::vector<Value> init;
  for (int i = 0; i < 4; ++i) init.push_back(zeros(g, {DType::kF32, {}}));
  for (const Value& p : trained) init.push_back(zeros(g, {DType::kF32, p.shape()}));
  std::vector<Value> stacks;
  for (Value x : {batch.inputs, batch.positions, batch.segments, batch.targets, batch.target_segments}) {
    stacks.push_back(micro_batches(x, count));
  }
  ScanResult total = scan(g, {.axis = "a", .length = count}, init, stacks,
                          [&](Value, std::span<const Value> carry, std::span<const Value> x) {
                            BatchValues micro{x[0], x[1], x[2], x[3], x[4]};
                            LossSums sums = loss_sums(config, layout, parameters, micro, model_options(config));
                            Value loss = (sums.cross_entropy + sums.balance) / places;
                            std::vector<Value> parts = sums.list();
                            for (const Value& p : or_zeros(gradients(loss, trained), trained)) {
                              parts.push_back(convert(p, DType::kF32));
                            }
                            for (size_t i = 0; i < parts.size(); ++i) parts[i] = carry[i] + parts[i];
                            return ScanBody{.carry = parts, .stack = {}};
                          });
  LossAndGradients out{.sums = LossSums::from(total.carry), .gradients = {}};
  Value scale = places / denominator(out.sums);
  for (size_t i = 0; i < trained.size(); ++i) {
    out.gradients.push_back(convert(total.carry[4 + i] * scale, trained[i].dtype()));
  }
  return out;
}

LossAndGradients loss_and_gradients(const Config& config, const StateLayout& layout, std::span<const Value> parameters,
                                    const BatchValues& batch) {
  LossAndGradients out = config.gradient_accumulation_steps > 1 ? accumulated(config, layout, parameters, batch)
                                                                : whole_batch(config, layout, parameters, batch);
  for (size_t i = 0; i < out.gradients.size(); ++i) {
    Value& g = out.gradients[i];
    if (g.dtype() == DType::kF32) g = convert(g, config.grad_dtype);
    // So that the sum over the devices is a reduce-scatter.
    if (layout.partition) g = shard(g, layout.shardings[layout.trained[i]]);
  }
  return out;
}

Value vector_of(const std::vector<Value>& scalars) {
  std::vector<Value> parts;
  for (const Value& s : scalars) parts.push_back(expand(s, "i"));
  return concatenate(parts, "i");
}

Value sum_of_elements(Value squares) { return reduce_sum(squares, "i"); }

// The scalars of the loss; the others are zero.
std::vector<Value> loss_scalars(const LossSums& sums) {
  std::vector<Value> out(kTrainScalars, zeros_like(sums.tokens));
  out[kLoss] = objective(sums);
  out[kLmLoss] = sums.cross_entropy / denominator(sums);
  out[kZLoss] = sums.z_loss / denominator(sums);
  out[kBalanceLoss] = sums.balance / denominator(sums);
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

// Positions of the state's arguments.
struct StateArgs {
  std::vector<Value> parameters, mu, nu;
  Value step;
  size_t first_mu = 0, first_nu = 0, step_index = 0;
};

StateArgs state_arguments(ProgramBuilder& b, const Config& config, const StateLayout& layout) {
  StateArgs s;
  s.parameters = b.parameters(layout);
  s.first_mu = b.args();
  for (size_t i : layout.trained) {
    const ParamArray& a = layout.arrays[i];
    s.mu.push_back(b.arg("mu." + a.name, {config.mu_dtype, a.type.shape}, layout.shardings[i]));
  }
  s.first_nu = b.args();
  for (size_t i : layout.trained) {
    s.nu.push_back(b.arg("nu." + layout.arrays[i].name, layout.arrays[i].type, layout.shardings[i]));
  }
  s.step_index = b.args();
  s.step = b.arg("step", {DType::kS32, {}});
  return s;
}

}  // namespace

Program train_step(const Config& config, const StateLayout& layout, const BatchShape& shape) {
  ProgramBuilder b("train_step", config.matmul_precision, layout);
  Graph& g = b.graph();
  StateArgs state = state_arguments(b, config, layout);
  BatchValues batch = batch_arguments(b, shape);
  LossAndGradients lg = loss_and_gradients(config, layout, state.parameters, batch);

  Scope scope(g, "optimizer");
  auto split_of = [&](size_t i) { return layout.shardings[layout.trained[i]]; };
  std::vector<Value> squares;
  for (size_t i = 0; i < layout.trained.size(); ++i) squares.push_back(sum_of_squares(lg.gradients[i], split_of(i)));
  Value gradient_squares = vector_of(squares);
  Value norm = sqrt(sum_of_elements(gradient_squares));
  Value rate = learning_rate(schedule_of(config), state.step);
  Value t = convert(state.step, DType::kF32) + 1.0;
  AdamW adam{config.adam_b1, config.adam_b2, config.adam_eps, config.adam_eps_root, config.adam_weight_decay};
  AdamW undecayed = adam;
  undecayed.weight_decay = 0;
  AdamScalars now = adam_scalars(adam, rate, t, clip_factor(norm, config.gradient_clipping_threshold));

  std::vector<AdamState> next;
  std::vector<Value> parameter_squares;
  for (size_t i = 0; i < layout.trained.size(); ++i) {
    AdamState before{state.parameters[layout.trained[i]], state.mu[i], state.nu[i]};
    AdamStep step = adamw(layout.decayed[i] ? adam : undecayed, before, lg.gradients[i], now, split_of(i));
    next.push_back(step.state);
    parameter_squares.push_back(step.squares);
  }
  std::vector<Value> scalars = loss_scalars(lg.sums);
  scalars[kRawGradNorm] = norm;
  scalars[kGradNorm] =
      config.gradient_clipping_threshold > 0 ? minimum(norm, config.gradient_clipping_threshold) : norm;
  scalars[kLearningRate] = rate;

  for (size_t i = 0; i < next.size(); ++i) {
    b.result_in(layout.trained[i], layout.arrays[layout.trained[i]].name, next[i].parameter);
  }
  for (size_t i = 0; i < next.size(); ++i) {
    b.result_in(state.first_mu + i, "mu." + layout.arrays[layout.trained[i]].name, next[i].mu);
  }
  for (size_t i = 0; i < next.size(); ++i) {
    b.result_in(state.first_nu + i, "nu." + layout.arrays[layout.trained[i]].name, next[i].nu);
  }
  b.result_in(state.step_index, "step", state.step + 1);
  b.result("scalars", vector_of(scalars));
  b.result("tokens", convert(lg.sums.tokens, DType::kS32));
  b.result("gradient_squares", gradient_squares);
  b.result("parameter_squares", vector_of(parameter_squares));
  return b.finish();
}

Program gradient_step(const Config& config, const StateLayout& layout, const BatchShape& shape) {
  ProgramBuilder b("gradient_step", config.matmul_precision, layout);
  std::vector<Value> parameters = b.parameters(layout);
  BatchValues batch = batch_arguments(b, shape);
  LossAndGradients lg = loss_and_gradients(config, layout, parameters, batch);
  b.result("scalars", vector_of(loss_scalars(lg.sums)));
  for (size_t i = 0; i < layout.trained.size(); ++i) {
    b.result("gradient." + layout.arrays[layout.trained[i]].name, lg.gradients[i], layout.shardings[layout.trained[i]]);
  }
  return b.finish();
}

Program eval_step(const Config& config, const StateLayout& layout, const BatchShape& shape) {
  ProgramBuilder b("eval_step", config.matmul_precision, layout);
  std::vector<Value> parameters = b.parameters(layout);
  BatchValues batch = batch_arguments(b, shape);
  LossSums sums = loss_sums(config, layout, parameters, batch, {});
  b.result("sums", vector_of({sums.cross_entropy, sums.tokens, sums.z_loss, sums.balance / denominator(sums)}));
  return b.finish();
}

}  // namespace fathom
