#include "program/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/log.h"
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

void give_cache(ProgramBuilder& b, const Cache& cache, const std::vector<Value>& values) {
  for (size_t i = 0; i < cache.specs.size(); ++i) {
    b.donated_result(cache.specs[i].name, values[i], cache.specs[i].sharding);
  }
}

// The token with the largest logit, normed [b .. d].
Value best_token(const StateSpec& spec, const Weights& weights, Value normed) {
  return argmax(logits_head(spec.model, weights.logits, normed), "v");
}

// Tokens of a prefill. In one piece: a power of two, so that there are few programs and the compile cache has them. In
// several: equal ones, so that the cache needs little more room than the prompt.
int64_t piece_for(const DecodeSizes& sizes) {
  constexpr int64_t kStep = 16;
  const int64_t most = sizes.piece > 0 ? sizes.piece : kPrefillPiece;
  const int64_t pieces = (sizes.longest + most - 1) / most;
  const auto whole = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(sizes.longest, kStep))));
  const int64_t equal = (sizes.longest + pieces - 1) / pieces;
  return std::min(pieces == 1 ? whole : (equal + kStep - 1) / kStep * kStep, most);
}

bool splits_rows(const AxisRule& rule) {
  return rule.logical.starts_with("activation_") && rule.logical.find("length") != std::string::npos;
}

// The mesh axes of the first rule for a logical axis.
std::vector<std::string> axes_of(const std::vector<AxisRule>& rules, std::string_view logical) {
  const auto rule = std::ranges::find(rules, logical, &AxisRule::logical);
  return rule == rules.end() ? std::vector<std::string>() : rule->mesh_axes;
}

}  // namespace

int64_t drafting_modules(const Config& config) { return config.decode_draft == DecodeDraft::kMtp ? 1 : 0; }

Config split_for_decoding(Config config) {
  std::vector<AxisRule>& rules = config.logical_axis_rules;
  const std::vector<std::string> of_heads = axes_of(rules, "q_heads");
  for (const char* logical : {"embed_attn", "embed_router"}) {
    std::vector<std::string> axes = axes_of(rules, logical);
    for (const std::string& axis : of_heads) {
      if (std::ranges::find(axes, axis) == axes.end()) axes.push_back(axis);
    }
    // In front of the others, which serve where heads have taken these axes.
    rules.insert(std::ranges::find(rules, logical, &AxisRule::logical), {logical, std::move(axes)});
  }
  return config;
}

StateSpec decode_spec(const Config& config, const StateSpec& training) {
  StateSpec out = training;
  if (!out.partition) return out;
  std::vector<AxisRule> rules = config.logical_axis_rules;
  std::erase_if(rules, splits_rows);
  out.partition = std::make_shared<Partition>(out.partition->mesh(), std::move(rules));
  return out;
}

int64_t prefill_piece(const Config& config) {
  return config.use_chunked_prefill ? config.prefill_chunk_size : kPrefillPiece;
}

DecodeShape decode_shape(const StateSpec& spec, const DecodeSizes& sizes) {
  DecodeShape out{.cache = {.rows = filled_for_mesh(spec, {sizes.prompts, 1}).rows, .predicts = sizes.drafts},
                  .piece = piece_for(sizes)};
  out.pieces = (sizes.longest + out.piece - 1) / out.piece;
  // A guess stands behind the last token.
  out.cache.length = std::max(sizes.length + (sizes.drafts ? 1 : 0), out.pieces * out.piece);
  return out;
}

int64_t prompts_at_once(const Config& config, int64_t devices) {
  const double rows = config.per_device_batch_size * static_cast<double>(devices);
  return std::max<int64_t>(static_cast<int64_t>(std::min(rows, 1e9)), 1);
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
  if (spec.model.fp8) log_once(LogLevel::kInfo, "quantization=fp8 is for training: tokens are decoded without it");
  ProgramBuilder b(options.first ? "prefill" : "prefill_more", config.matmul_precision, spec);
  const std::vector<Value> state = b.state(parameters_alone);
  const Cache before(b, spec, cache);
  const ArgSpec rows = batch_argument(spec, {cache.rows, options.length});
  CachedInputs in;
  in.tokens = b.arg("inputs", rows.type, rows.sharding);
  Value next = cache.predicts ? b.arg("next", rows.type, rows.sharding) : Value();
  if (!options.first) in.place = b.arg("place", {DType::kS32, {}});
  Value last = b.arg("last", {DType::kS32, {{"b", cache.rows}}});
  const Weights weights = make_weights(spec, state);
  const CacheUse use = options.first ? CacheUse::kFirst : CacheUse::kContinue;
  in.places = options.places;
  CachedOut out = cached_decoder(spec.model, weights, use, in, before.values);
  Value logits = logits_head(spec.model, weights.logits, at_places(out.normed, last));
  Value token = argmax(logits, "v");
  b.result("token", token);
  if (options.logits) b.result("logits", convert(logits, DType::kF32));
  if (cache.predicts) {
    in.tokens = select(less(next, 0), broadcast(token, next.shape()), next);
    out = cached_prediction(spec.model, weights, use, in, out);
    b.result("draft", best_token(spec, weights, at_places(out.normed, last)));
  }
  give_cache(b, before, out.cache);
  return b.finish();
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
  b.result("token", argmax(logits, "v"));
  if (gives_logits) b.result("logits", convert(logits, DType::kF32));
  give_cache(b, before, out.cache);
  return b.finish();
}

Program draft_step(const Config& config, const StateSpec& spec, const CacheShape& cache) {
  ProgramBuilder b("draft_step", config.matmul_precision, spec);
  const std::vector<Value> state = b.state(parameters_alone);
  const Cache before(b, spec, cache);
  const ArgSpec rows = batch_argument(spec, {cache.rows, 2});
  CachedInputs in;
  in.tokens = b.arg("inputs", rows.type, rows.sharding);
  in.place = b.arg("place", {DType::kS32, {{"b", cache.rows}}});
  const Weights weights = make_weights(spec, state);
  CachedOut out = cached_decoder(spec.model, weights, CacheUse::kStep, in, before.values);
  Value tokens = best_token(spec, weights, out.normed);
  b.result("token", tokens);
  auto column = [](Value x, int64_t i) { return squeeze(slice(x, "s", i, i + 1), "s"); };
  Value guessed = convert(equal(column(in.tokens, 1), column(tokens, 0)), DType::kS32);
  // At the place behind a wrong guess the module sees what the next pass replaces.
  in.tokens = tokens;
  out = cached_prediction(spec.model, weights, CacheUse::kStep, in, out);
  b.result("draft", best_token(spec, weights, at_places(out.normed, guessed)));
  give_cache(b, before, out.cache);
  return b.finish();
}

}  // namespace fathom
