#include "fused/expert_op.h"

#include "graph/ops/build.h"

namespace fathom {

FusedAttrs expert_attrs(const ExpertMatrices& m, const ExpertOptions& options) {
  return {.ints = {options.activations_in_float32 ? 1 : 0, options.gathered_bytes, options.rows_at_once,
                   options.fp8 ? 1 : 0},
          .reals = {options.factor},
          .shardings = {m.gate_split, m.down_split}};
}

std::optional<ExpertLayout> layout_of(const Node& node, const Partition& p) {
  const std::vector<Sharding>& splits = node.attr<FusedAttrs>().shardings;
  return expert_layout(p, node.operands[0].shape(), splits.at(0), splits.at(1));
}

void ExpertOp::check(const InferContext& c) const {
  auto fits = [&](int i, std::string_view names, DType dtype) {
    return join_names(c.type(i).shape) == names && c.type(i).dtype == dtype;
  };
  const DType dtype = c.type(0).dtype;
  bool all = fits(0, "b s d", dtype);
  for (size_t i = 0; i < choices.size(); ++i) {
    all = all && fits(static_cast<int>(i) + 1, choices[i].names, choices[i].dtype);
  }
  const int w = w_gate();
  if (!all || !fits(w, "e f d", dtype) || !fits(w + 1, "e f d", dtype) || !fits(w + 2, "e d f", dtype)) c.fail(takes);
}

std::vector<TensorType> ExpertOp::infer_forward(const InferContext& c) const {
  check(c);
  return {c.type(0)};
}

std::vector<TensorType> ExpertOp::infer_grad(const InferContext& c) const {
  check(c);
  std::vector<TensorType> out;
  for (int i : has_gradient) out.push_back(c.type(i));
  return out;
}

// Without results.
ShardedForm ExpertOp::form(const Node& node, const Partition& p, const ExpertLayout& l, PerDevice here) const {
  ShardedForm out;
  out.in.assign(static_cast<size_t>(w_gate()), l.tokens);
  out.in.insert(out.in.end(), {l.gate, l.gate, l.down});
  out.body = [&node, &p, l, here = std::move(here), w = static_cast<size_t>(w_gate())](std::span<const Value> local) {
    const FusedAttrs& attrs = node.attr<FusedAttrs>();
    const int64_t at_once = experts_at_once(local[w], p.devices(l.model), attrs.ints.at(1));
    return here(attrs, {.expert = l.expert, .model = l.model, .width = l.width, .rows = l.rows, .at_once = at_once},
                local);
  };
  return out;
}

std::optional<ShardedForm> ExpertOp::shard_forward(const Node& node, const Partition& p,
                                                   const std::optional<ExpertLayout>& layout, PerDevice here) const {
  if (!layout) return std::nullopt;
  ShardedForm out = form(node, p, *layout, std::move(here));
  out.out = {layout->tokens};
  return out;
}

std::optional<ShardedForm> ExpertOp::shard_grad(const Node& node, const Partition& p,
                                                const std::optional<ExpertLayout>& layout, PerDevice here) const {
  if (!layout) return std::nullopt;
  ShardedForm out = form(node, p, *layout, std::move(here));
  for (int i : has_gradient) out.out.push_back(out.in[static_cast<size_t>(i)]);
  out.in.push_back(layout->tokens);  // dy
  return out;
}

}  // namespace fathom
