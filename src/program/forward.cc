#include <fmt/format.h>

#include "program/builder.h"

namespace fathom {

Program forward(const Config& config, const StateSpec& spec, const BatchShape& shape, bool capture) {
  ProgramBuilder b("forward", config.matmul_precision, spec);
  std::vector<Value> state = b.state(parameters_alone);
  ModelInputs inputs = model_inputs(b.batch(shape, true));
  const Weights weights = make_weights(spec, state);
  ModelOut out = decoder(spec.model, weights, inputs, {.remat_saved = {}, .capture = capture, .predictions = true});
  b.result("logits", out.logits);
  for (size_t i = 0; i < out.predictions.size(); ++i) {
    b.result(fmt::format("mtp_{}.logits", i + 1), logits_head(spec.model, weights.logits, out.predictions[i]));
  }
  if (!capture) return b.finish();
  b.result("embedding", out.embedding);
  b.result("final_norm", out.normed);
  for (const StackOut& stack : out.stacks) {
    for (const auto& [name, value] : stack.beside) {
      // What layers give for the whole batch (loads, losses) is no intermediate of a token.
      if (value.shape().has("b")) b.result(stack.stack.label + "." + name, value);
    }
  }
  return b.finish();
}

Program last_logits(const Config& config, const StateSpec& spec, const BatchShape& shape) {
  ProgramBuilder b("last_logits", config.matmul_precision, spec);
  const std::vector<Value> state = b.state(parameters_alone);
  const ModelInputs inputs = model_inputs(b.batch(shape, true));
  Value last = b.arg("last", {DType::kS32, {{"b", shape.rows}}});
  const Weights weights = make_weights(spec, state);
  const ModelOut out = decoder(spec.model, weights, inputs, {.remat_saved = {}, .in_layer = {}, .logits = false});
  b.result("logits", convert(logits_head(spec.model, weights.logits, at_places(out.normed, last)), DType::kF32));
  return b.finish();
}

}  // namespace fathom
