#include "fused/adamw.h"

#include <fmt/format.h>

#include "fused/derivative.h"
#include "fused/kernel_call.h"
#include "graph/manual.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands: gradient, parameter, mu, nu, then the scalars rate, mu_scale, nu_scale, clip.
// FusedAttrs::reals: {b1, b2, eps, eps_root, weight_decay}; shardings: {the arrays'}.
constexpr size_t kArrays = 4;
constexpr size_t kScalars = 4;

AdamW options_of(const FusedAttrs& attrs) {
  const auto& r = attrs.reals;
  return {.b1 = r.at(0), .b2 = r.at(1), .eps = r.at(2), .eps_root = r.at(3), .weight_decay = r.at(4)};
}

std::vector<TensorType> infer(const InferContext& c) {
  for (int i = 0; i < static_cast<int>(kArrays); ++i) {
    if (!is_float(c.type(i).dtype) || c.type(i).shape != c.type(0).shape) c.fail("adamw takes floats of one shape");
  }
  if (c.type(3).dtype != c.type(1).dtype) c.fail("adamw needs parameter and nu of one type");
  const TensorType scalar{DType::kF32, {}};
  for (int i = 0; i < static_cast<int>(kScalars); ++i) {
    if (c.type(static_cast<int>(kArrays) + i) != scalar) c.fail("adamw takes f32 scalars behind the arrays");
  }
  return {c.type(1), c.type(2), c.type(3), scalar};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const AdamW o = options_of(attrs);
  const Value &rate = in[4], &mu_scale = in[5], &nu_scale = in[6], &clip = in[7];
  Value g = convert(convert(in[0], DType::kF32) * clip, in[0].dtype());
  g = convert(g, DType::kF32);
  Value w = convert(in[1], DType::kF32);
  Value mu = convert(in[2], DType::kF32) * o.b1 + g * (1.0 - o.b1);
  Value nu = convert(in[3], DType::kF32) * o.b2 + g * g * (1.0 - o.b2);
  Value root = nu * nu_scale;
  if (o.eps_root != 0) root = root + o.eps_root;
  Value step = mu * mu_scale / (sqrt(root) + o.eps);
  if (o.weight_decay != 0) step = step + w * o.weight_decay;
  Value next = convert(w - step * rate, in[1].dtype());
  Value wide = convert(next, DType::kF32);
  return {next, convert(mu, in[2].dtype()), convert(nu, in[3].dtype()), reduce_sum(wide * wide, "")};
}

std::string f64_text(double x) { return fmt::format("{:#.17g} : f64", x); }

std::vector<Value> kernel(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kAdamW, kArrays, reason)) return {};
  const AdamW o = options_of(c.node().attr<FusedAttrs>());
  CustomCall call{.target = std::string(abi::kAdamW), .results = c.node().results};
  call.config = {{std::string(abi::kB1), f64_text(o.b1)},
                 {std::string(abi::kB2), f64_text(o.b2)},
                 {std::string(abi::kEps), f64_text(o.eps)},
                 {std::string(abi::kEpsRoot), f64_text(o.eps_root)},
                 {std::string(abi::kWeightDecay), f64_text(o.weight_decay)}};
  call.aliases = {{0, 1}, {1, 2}, {2, 3}};
  return custom_call(c.graph(), call, c.operands());
}

// Each device moves its part.
std::optional<ShardedForm> shard(const Node& node, const Partition&, const Target& target) {
  if (!target.has(abi::kAdamW)) return std::nullopt;
  const Sharding split = node.attr<FusedAttrs>().shardings.at(0);
  ShardedForm form{.in = {split, split, split, split, {}, {}, {}, {}}, .out = {split, split, split, {}}, .body = {}};
  form.body = [split, &node](std::span<const Value> local) {
    std::vector<Value> out = on_parts(node, {local.begin(), local.end()});
    out[3] = all_reduce(out[3], split_axes(split));
    return out;
  };
  return form;
}

const FusedOp kAdamW{.name = "adamw",
                     .infer = infer,
                     .reference = reference,
                     .vjp = nullptr,
                     .forms = {.cpu = kernel, .gpu = plain_ops, .tpu = plain_ops},
                     .shard = shard};

}  // namespace

AdamStep adamw(const AdamW& o, const AdamState& state, Value gradient, const AdamScalars& scalars,
               const Sharding& split, Where where) {
  FusedAttrs attrs{.reals = {o.b1, o.b2, o.eps, o.eps_root, o.weight_decay}, .shardings = {split}};
  auto made = fused(
      gradient.graph(), kAdamW,
      {gradient, state.parameter, state.mu, state.nu, scalars.rate, scalars.mu_scale, scalars.nu_scale, scalars.clip},
      std::move(attrs), where);
  return {{made[0], made[1], made[2]}, made[3]};
}

}  // namespace fathom
