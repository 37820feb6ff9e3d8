// A prompt into the cache beside the plain forward pass over as many tokens, which makes logits of all of them: the
// bench model (peers/bench-model.env), one row, float32 or bfloat16, on all cores.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "config/resolve/resolve.h"
#include "program/decode.h"
#include "session/state_load.h"

namespace fathom {
namespace {

struct Model {
  Config config;
  Session session;
  StateSpec spec;
  State state;

  explicit Model(bool narrow)
      : config(resolved(narrow)),
        session(config),
        spec(state_spec(config, session.mesh().mesh)),
        state(make_state(session, config, spec)) {}

  static Config resolved(bool narrow) {
    const std::string dtype = narrow ? "bfloat16" : "float32";
    const std::vector<std::string> words{"model_name=deepseek3-671b",
                                         "override_model_config=true",
                                         "hardware=cpu",
                                         "run_name=bench",
                                         "base_emb_dim=512",
                                         "base_num_query_heads=8",
                                         "base_num_kv_heads=8",
                                         "base_mlp_dim=1408",
                                         "base_moe_mlp_dim=256",
                                         "base_num_decoder_layers=8",
                                         "first_num_dense_layers=1",
                                         "vocab_size=8192",
                                         "num_experts=32",
                                         "num_experts_per_tok=4",
                                         "shared_experts=1",
                                         "q_lora_rank=192",
                                         "kv_lora_rank=128",
                                         "qk_nope_head_dim=64",
                                         "qk_rope_head_dim=32",
                                         "v_head_dim=64",
                                         "dtype=" + dtype,
                                         "weight_dtype=" + dtype};
    return resolve_config(words, {}, {.needs_data = false}).config;
  }

  // All elements of an argument's 32-bit words alike.
  ShardedArray filled(const ArgSpec& argument, int32_t value) const {
    return session.fill(layout_of(argument), [&](std::span<const SliceMemory> slices) {
      const auto words = static_cast<size_t>(argument.type.bytes()) / sizeof(int32_t);
      std::fill_n(reinterpret_cast<int32_t*>(slices.front().data), words, value);
    });
  }

  // Runs a program on tokens that are all alike; returns when it is done.
  void run(const Compiled& program) {
    NamedArrays inputs;
    for (const ArgSpec& argument : program.signature.args) {
      if (state.find(argument.name) == nullptr) {
        // Tokens, places and segments of ones; an empty cache.
        const bool ones = argument.name.starts_with("inputs");
        inputs.emplace(argument.name, filled(argument, ones ? 1 : 0));
      }
    }
    NamedArrays results = run_on(session, program, state, inputs);
    results.begin()->second.to_host();
  }
};

void measure(benchmark::State& state, bool cached) {
  const int64_t length = state.range(1);
  Model model(state.range(0) == 1);
  const Compiled program = model.session.compile([&] {
    return cached ? prefill(model.config, model.spec, {.rows = 1, .length = length}, {.length = length})
                  : forward(model.config, model.spec, {.rows = 1, .length = length});
  });
  model.run(program);
  for (auto _ : state) model.run(program);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(length), benchmark::Counter::kIsIterationInvariantRate);
}

void prefilled(benchmark::State& state) { measure(state, true); }
void forward_pass(benchmark::State& state) { measure(state, false); }

BENCHMARK(prefilled)->ArgNames({"bf16", "length"})->ArgsProduct({{0, 1}, {512, 2048}})->UseRealTime();
BENCHMARK(forward_pass)->ArgNames({"bf16", "length"})->ArgsProduct({{0, 1}, {512, 2048}})->UseRealTime();

}  // namespace
}  // namespace fathom
