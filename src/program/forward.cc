#include "program/builder.h"

namespace fathom {
namespace {

void add_captured(ProgramBuilder& b, const std::string& stack, const LayerAux& aux) {
  auto add = [&](std::string_view name, Value v) {
    if (v) b.result(stack + "." + std::string(name), v);
  };
  add("self_attn", aux.self_attn);
  add("mlp", aux.mlp);
  add("out", aux.out);
  add("scores", aux.scores);
  add("experts", aux.experts);
  add("weights", aux.weights);
}

}  // namespace

Program forward(const Config& config, const StateLayout& layout, const BatchShape& shape, bool capture) {
  ProgramBuilder b("forward", config.matmul_precision, layout);
  std::vector<Value> parameters = b.parameters(layout);
  ModelInputs inputs = input_arguments(b, shape);
  ModelOut out =
      decoder(layout.model, make_weights(layout, parameters), inputs, {.remat_saved = {}, .capture = capture});
  b.result("logits", out.logits);
  if (!capture) return b.finish();
  b.result("embedding", out.embedding);
  b.result("final_norm", out.normed);
  add_captured(b, "dense", out.dense);
  add_captured(b, "moe", out.moe);
  return b.finish();
}

Program next_token(const Config& config, const StateLayout& layout, const BatchShape& shape) {
  ProgramBuilder b("next_token", config.matmul_precision, layout);
  std::vector<Value> parameters = b.parameters(layout);
  ModelInputs inputs = input_arguments(b, shape);
  Value last = b.arg("last", {DType::kS32, {}});
  Weights weights = make_weights(layout, parameters);
  ModelOut out = decoder(layout.model, weights, inputs, {.remat_saved = {}, .capture = false, .logits = false});
  Value logits = logits_head(layout.model, weights.logits, dynamic_index(out.normed, "s", last));
  b.result("token", argmax(logits, "v"));
  return b.finish();
}

}  // namespace fathom
