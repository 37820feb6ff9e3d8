#include "fused/fp8_linear.h"

#include <algorithm>

#include "fused/fp8.h"
#include "graph/fused_op.h"
#include "graph/ops/build.h"

namespace fathom {
namespace {

// What becomes of an axis of w.
enum class Role : uint8_t { kKept, kSummed, kBatch };

// FusedAttrs::ints: {type of the result, then for each axis of w its role, and whether it counts matrices}.
struct Layout {
  DType out;
  std::vector<Role> roles;
  std::vector<bool> counts_matrices;

  explicit Layout(const FusedAttrs& attrs) : out(static_cast<DType>(attrs.ints.at(0))) {
    for (size_t i = 1; i + 1 < attrs.ints.size(); i += 2) {
      roles.push_back(static_cast<Role>(attrs.ints[i]));
      counts_matrices.push_back(attrs.ints[i + 1] != 0);
    }
  }
  Layout(const Shape& x, const Shape& w, std::string_view axes, const Fp8LinearOptions& options, DType otherwise)
      : out(options.out.value_or(otherwise)) {
    const std::vector<std::string> summed = split_names(axes), matrices = split_names(options.matrices);
    for (const Axis& axis : w) {
      const bool is_summed = std::ranges::count(summed, axis.name) > 0;
      roles.push_back(is_summed ? Role::kSummed : x.has(axis.name) ? Role::kBatch : Role::kKept);
      counts_matrices.push_back(std::ranges::count(matrices, axis.name) > 0);
    }
  }
  FusedAttrs attrs() const {
    FusedAttrs a{.ints = {static_cast<int64_t>(out)}};
    for (size_t i = 0; i < roles.size(); ++i) {
      a.ints.push_back(static_cast<int64_t>(roles[i]));
      a.ints.push_back(counts_matrices[i] ? 1 : 0);
    }
    return a;
  }

  // The names of w's axes of one role, in w's order.
  std::string names(const Shape& w, Role role) const { return names_where(w, role, true); }
  std::string matrices(const Shape& w) const {
    std::vector<int64_t> positions;
    for (size_t i = 0; i < roles.size(); ++i) {
      if (counts_matrices[i]) positions.push_back(static_cast<int64_t>(i));
    }
    return join_names(w, positions);
  }
  // Those of them along which blocks run.
  Fp8Runs run(const Shape& w, Role role) const {
    std::string all = names_where(w, role, false);
    return all.empty() ? Fp8Runs() : Fp8Runs{all};
  }

 private:
  std::string names_where(const Shape& w, Role role, bool with_matrices) const {
    std::vector<int64_t> positions;
    for (size_t i = 0; i < roles.size(); ++i) {
      if (roles[i] == role && (with_matrices || !counts_matrices[i])) positions.push_back(static_cast<int64_t>(i));
    }
    return join_names(w, positions);
  }
};

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const Layout layout(attrs);
  const Shape& w = in[1].shape();
  const Fp8Runs summed = layout.run(w, Role::kSummed);
  Fp8Runs both = layout.run(w, Role::kKept);
  both.insert(both.end(), summed.begin(), summed.end());
  return {
      dot(fp8_rounded(in[0], summed), fp8_rounded(in[1], both), layout.names(w, Role::kSummed), {.out = layout.out})};
}

std::vector<TensorType> infer(const InferContext& c) {
  const Layout layout(c.attr<FusedAttrs>());
  Graph g;
  Value x = g.arg("x", c.type(0)), w = g.arg("w", c.type(1));
  return {dot(x, w, layout.names(w.shape(), Role::kSummed), {.out = layout.out}).type()};
}

// x's axes that w has not.
std::string tokens_of(const Shape& x, const Shape& w) {
  std::vector<int64_t> positions;
  for (int i = 0; i < x.rank(); ++i) {
    if (!w.has(x[i].name)) positions.push_back(i);
  }
  return join_names(x, positions);
}

void vjp(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy) return;
  const Layout layout(c.node().attr<FusedAttrs>());
  const Value x = c.operand(0), w = c.operand(1);
  dy = convert(dy, x.dtype());
  if (c.wants(0)) {
    Value dx = fp8_linear(dy, w, layout.names(w.shape(), Role::kKept), {.matrices = layout.matrices(w.shape())});
    c.add(0, transpose(dx, join_names(x.shape())));
  }
  if (c.wants(1)) {
    c.add(1, transpose(fp8_outer(dy, x, tokens_of(x.shape(), w.shape())), join_names(w.shape())));
  }
}

const FusedOp kLinear{
    .name = "fp8_linear", .infer = infer, .reference = reference, .vjp = vjp, .forms = kPlainOpsEverywhere};

}  // namespace

Value fp8_linear(Value x, Value w, std::string_view axes, const Fp8LinearOptions& options, Where where) {
  const Layout layout(x.shape(), w.shape(), axes, options, x.dtype());
  return fused(x.graph(), kLinear, {x, w}, layout.attrs(), where)[0];
}

Value fp8_outer(Value a, Value b, const std::string& tokens) {
  return dot(fp8_rounded(a, {tokens}), fp8_rounded(b, {tokens}), tokens);
}

}  // namespace fathom
