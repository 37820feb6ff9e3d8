#include "program/decode.h"

#include <fmt/format.h>

#include "program/builder.h"

namespace fathom {
namespace {

// The cache as arguments.
struct Cache {
  std::vector<ArgSpec> specs;
  std::vector<Value> values;

  Cache(ProgramBuilder& b, const StateSpec& spec, const CacheShape& shape) : specs(cache_arguments(spec, shape)) {
    for (const ArgSpec& s : specs) values.push_back(b.arg(s.name, s.type, s.sharding));
  }
};

// x [b s d] at the place `at` [b] of each row, as a sum with one term: a gather would not stay on a mesh's devices.
Value at_places(Value x, Value at) {
  Value own = equal(one_hot(at, {"s", x.size("s")}, DType::kS32), 1);
  return reduce_sum(select(broadcast(own, x.shape()), x, 0), "s");
}

Program finish(ProgramBuilder& b, const Cache& cache, const CachedOut& out, Value logits, bool gives_logits) {
  b.result("token", argmax(logits, "v"));
  if (gives_logits) b.result("logits", convert(logits, DType::kF32));
  for (size_t i = 0; i < cache.specs.size(); ++i) {
    b.donated_result(cache.specs[i].name, out.cache[i], cache.specs[i].sharding);
  }
  return b.finish();
}

bool splits_rows(const AxisRule& rule) {
  return rule.logical.starts_with("activation_") && rule.logical.find("length") != std::string::npos;
}

}  // namespace

StateSpec decode_spec(const Config& config, const StateSpec& training) {
  StateSpec out = training;
  if (!out.partition) return out;
  std::vector<AxisRule> rules = config.logical_axis_rules;
  std::erase_if(rules, splits_rows);
  out.partition = std::make_shared<Partition>(out.partition->mesh(), std::move(rules));
  return out;
}

std::vector<ArgSpec> cache_arguments(const StateSpec& spec, const CacheShape& shape) {
  std::vector<ArgSpec> out;
  for (CacheArray& array : cache_arrays(spec.model, shape)) {
    Sharding split = spec.partition ? spec.partition->activation(array.type.shape) : Sharding{};
    out.push_back({.name = "cache." + array.name, .type = array.type, .sharding = std::move(split), .donated_to = {}});
  }
  return out;
}

Program prefill(const Config& config, const StateSpec& spec, const CacheShape& cache, const PrefillOptions& options) {
  ProgramBuilder b(options.first ? "prefill" : "prefill_more", config.matmul_precision, spec);
  const std::vector<Value> state = b.state(parameters_alone);
  const Cache before(b, spec, cache);
  const ArgSpec rows = batch_argument(spec, {cache.rows, options.length});
  CachedInputs in;
  in.tokens = b.arg("inputs", rows.type, rows.sharding);
  if (!options.first) in.place = b.arg("place", {DType::kS32, {}});
  Value last = b.arg("last", {DType::kS32, {{"b", cache.rows}}});
  const Weights weights = make_weights(spec, state);
  const CachedOut out =
      cached_decoder(spec.model, weights, options.first ? CacheUse::kFirst : CacheUse::kContinue, in, before.values);
  Value logits = logits_head(spec.model, weights.logits, at_places(out.normed, last));
  return finish(b, before, out, logits, options.logits);
}

Program decode_step(const Config& config, const StateSpec& spec, const CacheShape& cache, bool gives_logits) {
  ProgramBuilder b("decode_step", config.matmul_precision, spec);
  const std::vector<Value> state = b.state(parameters_alone);
  const Cache before(b, spec, cache);
  const ArgSpec rows = batch_argument(spec, {cache.rows, 1});
  CachedInputs in;
  in.tokens = b.arg("inputs", rows.type, rows.sharding);
  in.place = b.arg("place", {DType::kS32, {{"b", cache.rows}}});
  const Weights weights = make_weights(spec, state);
  const CachedOut out = cached_decoder(spec.model, weights, CacheUse::kStep, in, before.values);
  Value logits = logits_head(spec.model, weights.logits, squeeze(out.normed, "s"));
  return finish(b, before, out, logits, gives_logits);
}

}  // namespace fathom
