#include "fused/latent_attention.h"

#include "fused/kernel_call.h"
#include "graph/fused_op.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

std::vector<std::string> names(std::string_view axes) { return split_names(axes); }

// ---- latent_attention: operands q, q_rotated, kv, rotated, visible, layer ----

std::vector<TensorType> infer_attention(const InferContext& c) {
  const Shape &q = c.type(0).shape, &kv = c.type(2).shape, &visible = c.type(4).shape;
  if (q.names() != names("b s h c") || c.type(1).shape.names() != names("b s h w")) c.fail("queries are [b s h ..]");
  if (kv.names() != names("l b t c") || c.type(3).shape.names() != names("l b t w")) c.fail("keys are [l b t ..]");
  if (visible != Shape{q[0], q[1], kv[2]} || c.type(4).dtype != DType::kBool) c.fail("the mask is bool [b s t]");
  for (int i = 1; i < 4; ++i) {
    if (c.type(i).dtype != c.type(0).dtype) c.fail("queries and keys are of one type");
  }
  return {c.type(0)};
}

std::vector<Value> reference_attention(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  Value q = in[0], visible = in[4];
  Value kv = dynamic_index(in[2], "l", in[5]), rotated = dynamic_index(in[3], "l", in[5]);
  Value scores = dot(q, kv, "c", {.out = DType::kF32}) + dot(in[1], rotated, "w", {.out = DType::kF32});
  scores = select(broadcast(visible, scores.shape()), scores, abi::kMasked);
  return {dot(convert(softmax(scores, "t"), q.dtype()), kv, "t")};
}

std::vector<Value> kernel_attention(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kLatentAttention, 4, reason)) return {};
  return call_kernel(c, abi::kLatentAttention);
}

double flops_attention(const Node& node, const Target&) {
  const Shape &q = node.operands[0].shape(), &kv = node.operands[2].shape();
  const double pairs = static_cast<double>(q[0].size * q[1].size * q[2].size * kv[2].size);
  return 2 * pairs * static_cast<double>(2 * q[3].size + node.operands[1].shape()[3].size);
}

const FusedOp kAttention{.name = "latent_attention",
                         .infer = infer_attention,
                         .reference = reference_attention,
                         .vjp = nullptr,
                         .forms = {.cpu = kernel_attention, .gpu = plain_ops, .tpu = plain_ops},
                         .flops = flops_attention};

// ---- put_rows: operands rows, place, layer, stack ----

std::vector<TensorType> infer_put(const InferContext& c) {
  const Shape &rows = c.type(0).shape, &place = c.type(1).shape, &stack = c.type(3).shape;
  if (rows.rank() != 3 || stack.rank() != 4 || rows[0] != stack[1] || rows[2] != stack[3]) {
    c.fail("put_rows takes rows [b s c] and a stack [l b t c]");
  }
  if (place.rank() > 1 || (place.rank() == 1 && place[0] != rows[0])) c.fail("the place is one number, or one a row");
  return {c.type(3)};
}

// One neighbour at a time where the places differ: what is not new is chosen from the old.
Value put_each(Value x, Value rows, Value place) {
  const Shape keys{x.shape()[0], x.shape()[1]};
  const std::string of_row = rows.shape()[1].name, of_key = keys[1].name;
  for (int64_t i = 0; i < rows.shape()[1].size; ++i) {
    Value at = iota(x.graph(), DType::kS32, keys, of_key) - static_cast<double>(i);
    Value own = broadcast(equal(at, broadcast(place, keys)), x.shape());
    x = select(own, broadcast(squeeze(slice(rows, of_row, i, i + 1), of_row), x.shape()), x);
  }
  return x;
}

std::vector<Value> reference_put(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  Value rows = in[0], place = in[1], layer = in[2], stack = in[3];
  const std::string l = stack.shape()[0].name, t = stack.shape()[2].name;
  Value x = dynamic_index(stack, l, layer);
  if (place.rank() == 1 && place.shape()[0].size == 1) place = squeeze(place, place.shape()[0].name);
  if (place.rank() == 0) {
    x = dynamic_update_slice(x, rename(rows, rows.shape()[1].name, t), t, place);
  } else {
    x = put_each(x, rows, place);
  }
  return {dynamic_update_slice(stack, expand(x, l), l, layer)};
}

std::vector<Value> kernel_put(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kPutRows, 1, reason)) return {};
  const std::vector<Value>& in = c.operands();
  Value place = broadcast(in[1], Shape{in[0].shape()[0]});
  CustomCall call{.target = std::string(abi::kPutRows), .results = c.node().results, .aliases = {{0, 3}}};
  return custom_call(c.graph(), call, {in[0], place, in[2], in[3]});
}

const FusedOp kPut{.name = "put_rows",
                   .infer = infer_put,
                   .reference = reference_put,
                   .vjp = nullptr,
                   .forms = {.cpu = kernel_put, .gpu = plain_ops, .tpu = plain_ops}};

}  // namespace

Value latent_attention(Value q, Value q_rotated, const LatentStacks& keys, Value visible, Where where) {
  return fused(q.graph(), kAttention, {q, q_rotated, keys.kv, keys.rotated, visible, keys.layer}, {}, where)[0];
}

Value put_rows(Value stack, Value layer, Value rows, Value place, Where where) {
  return fused(rows.graph(), kPut, {rows, place, layer, stack}, {}, where)[0];
}

}  // namespace fathom
