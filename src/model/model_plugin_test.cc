// The model against values that Hugging Face's implementation gave for the same weights (tests/data/deepseek_v2, _v3).
#include <gmock/gmock.h>

#include <cmath>

#include "../tests/support/hf_folder.h"
#include "../tests/support/run_graph.h"
#include "graph/grad/gradients.h"
#include "model/decoder.h"

namespace fathom {
namespace {

const double kYarnScale = std::log(40.0) * 0.1;

ModelConfig fixture_v2() {
  double scale = kYarnScale * 0.707 + 1;
  return {.d = 64,
          .heads = 4,
          .layers = 3,
          .dense_layers = 1,
          .vocab = 1792,
          .mlp_dim = 172,
          .moe_mlp_dim = 48,
          .kv_rank = 32,
          .nope = 24,
          .rope_dim = 16,
          .value_dim = 20,
          .rope = {.dim = 16, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 4096}},
          .softmax_scale = std::pow(40, -0.5) * scale * scale,
          .experts = 8,
          .top_k = 3,
          .shared_experts = 2,
          .dtype = DType::kF32};
}

ModelConfig fixture_v3() {
  double scale = kYarnScale + 1;
  return {.d = 48,
          .heads = 4,
          .layers = 3,
          .dense_layers = 1,
          .vocab = 1792,
          .mlp_dim = 200,
          .moe_mlp_dim = 20,
          .q_rank = 144,
          .kv_rank = 40,
          .nope = 24,
          .rope_dim = 16,
          .value_dim = 24,
          .rope = {.dim = 16, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 128}},
          .softmax_scale = std::pow(40, -0.5) * scale * scale,
          .experts = 16,
          .top_k = 4,
          .shared_experts = 1,
          .sigmoid_scores = true,
          .router_bias = true,
          .renormalise = true,
          .routed_scaling_factor = 2.5,
          .groups = 4,
          .kept_groups = 2,
          .dtype = DType::kF32};
}

struct Fixture {
  std::string folder;
  ModelConfig config;
};
Fixture v2() { return {"tests/data/deepseek_v2/", fixture_v2()}; }
Fixture v3() { return {"tests/data/deepseek_v3/", fixture_v3()}; }

struct Which {
  const char* name;
  Fixture (*make)();
};
void PrintTo(const Which& which, std::ostream* out) { *out << which.name; }

// Forms of the same model.
struct Form {
  const char* name;
  bool scan, grouped, flash;
};
constexpr Form kForms[] = {{"scanned, grouped, plain", true, true, false},
                           {"scanned, every expert, blockwise", true, false, true},
                           {"layer by layer, grouped, blockwise", false, true, true},
                           {"layer by layer, every expert, plain", false, false, false}};

ModelConfig in_form(ModelConfig m, const Form& form) {
  m.scan_layers = form.scan;
  m.grouped = form.grouped;
  m.flash = form.flash;
  m.autoselected = false;
  return m;
}

// A graph under construction with the model's weights, and what it will be fed.
struct Staged {
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  std::vector<Param> table;
  std::vector<ParamArray> arrays;
  std::vector<Value> weights;
  std::vector<HostArray> inputs;

  Staged(const ModelConfig& m, const TensorFolder& folder) : table(param_table(m)), arrays(param_arrays(m, table)) {
    graph->precision = Precision::kHighest;
    for (const ParamArray& a : arrays) {
      weights.push_back(graph->arg(a.name, a.type));
      inputs.push_back(hf_array(m, table[a.row], a, folder));
    }
  }

  Value argument(const char* name, const Shape& shape, const std::vector<int32_t>& values) {
    inputs.push_back(integers(shape, values));
    return graph->arg(name, {DType::kS32, shape});
  }

  // `tokens`: row after row, each one document.
  ModelOut run(const ModelConfig& m, const std::vector<int32_t>& tokens, int64_t length,
               const ModelOptions& options = {}) {
    Shape ids{{"b", static_cast<int64_t>(tokens.size()) / length}, {"s", length}};
    std::vector<int32_t> positions, segments(tokens.size(), 1);
    for (size_t i = 0; i < tokens.size(); ++i)
      positions.push_back(static_cast<int32_t>(i) % static_cast<int32_t>(length));
    ModelInputs in{argument("tokens", ids, tokens), argument("positions", ids, positions),
                   argument("segments", ids, segments)};
    return decoder(m, Weights(m, table, arrays, stored(weights)), in, options);
  }

  std::vector<HostArray> results(std::vector<Value> values) {
    graph->root().results = std::move(values);
    return run_graph(std::move(graph), inputs);
  }
};

std::vector<int32_t> token_ids(const HostArray& a) {
  auto ids = a.view<int64_t>();
  return {ids.begin(), ids.end()};
}

// The part of a stacked result that belongs to layer `i`, without batch axis, beside the reference of the same size.
double layer_difference(const HostArray& stacked, int64_t i, const HostArray& want) {
  auto got =
      stacked.view<float>().subspan(static_cast<size_t>(i * want.elements()), static_cast<size_t>(want.elements()));
  auto w = want.view<float>();
  double worst = 0;
  for (size_t k = 0; k < w.size(); ++k) {
    double d = std::abs(static_cast<double>(got[k] - w[k]));
    if (!(d <= worst)) worst = std::isnan(d) ? 1e30 : d;
  }
  return worst;
}

class Model : public ::testing::TestWithParam<Which> {
 protected:
  Fixture fixture_ = GetParam().make();
  TensorFolder weights_ = TensorFolder::open(fixture_.folder + "hf");
};

TEST_P(Model, LogitsOfABatchEqualTheReferenceInEveryForm) {
  auto golden = SafetensorsFile::open(fixture_.folder + "logits.safetensors");
  for (const Form& form : kForms) {
    ModelConfig m = in_form(fixture_.config, form);
    Staged staged(m, weights_);
    ModelOut out = staged.run(m, token_ids(golden->tensor("batch.tokens")), golden->tensor("batch.tokens").sizes()[1]);
    EXPECT_LT(max_difference(staged.results({out.logits})[0], golden->tensor("batch.logits")), 5e-5) << form.name;
  }
}

// Longer than the original length of V3, so that yarn's frequencies matter, and than one block of no attention form.
TEST_P(Model, LogitsOfALongRowEqualTheReference) {
  auto golden = SafetensorsFile::open(fixture_.folder + "logits.safetensors");
  const HostArray want = golden->tensor("long.last8_logits");
  ModelConfig m = in_form(fixture_.config, kForms[0]);
  Staged staged(m, weights_);
  ModelOut out = staged.run(m, token_ids(golden->tensor("long.tokens")), 160);
  Value last = squeeze(slice(out.logits, "s", 152, 160), "b");
  EXPECT_LT(max_difference(staged.results({last})[0], want), 5e-5);
}

// The references are float32 themselves, the last layer's up to 1.6e-5 away from exact arithmetic; the products here
// are summed in float64 (Precision::kHighest), so that this distance is all that remains.
constexpr double kLayerTolerance = 2e-5;

TEST_P(Model, IntermediatesAndRoutingEqualTheReference) {
  auto golden = SafetensorsFile::open(fixture_.folder + "intermediates.safetensors");
  for (const Form& form : {kForms[0], kForms[3]}) {
    ModelConfig m = in_form(fixture_.config, form);
    Staged staged(m, weights_);
    ModelOut out =
        staged.run(m, token_ids(golden->tensor("tokens")), golden->tensor("tokens").elements(), {.capture = true});
    const ValuesByName &dense = out.stacks[0].beside, &moe = out.stacks[1].beside;
    auto got =
        staged.results({squeeze(out.embedding, "b"), squeeze(out.normed, "b"), dense.find("self_attn"),
                        dense.find("mlp"), dense.find("out"), moe.find("self_attn"), moe.find("mlp"), moe.find("out"),
                        moe.find("router.scores"), moe.find("router.experts"), moe.find("router.weights")});
    EXPECT_EQ(max_difference(got[0], golden->tensor("embedding")), 0) << form.name;
    EXPECT_LT(max_difference(got[1], golden->tensor("final_norm")), 2e-5) << form.name;
    for (int64_t i = 0; i < m.layers; ++i) {
      const size_t first = i < m.dense_layers ? 2 : 5;
      const int64_t at = i < m.dense_layers ? i : i - m.dense_layers;
      const char* parts[] = {"self_attn", "mlp", "out"};
      for (size_t k = 0; k < 3; ++k) {
        const HostArray want = golden->tensor(fmt::format("layers.{}.{}", i, parts[k]));
        EXPECT_LT(layer_difference(got[first + k], at, want), kLayerTolerance)
            << form.name << ", layer " << i << " " << parts[k];
      }
      if (i < m.dense_layers) continue;
      EXPECT_LT(layer_difference(got[8], at, golden->tensor(fmt::format("layers.{}.router.scores", i))), 2e-5);
      // The reference lists the experts in ascending order.
      const HostArray experts_array = golden->tensor(fmt::format("layers.{}.router.experts", i));
      const HostArray weights_array = golden->tensor(fmt::format("layers.{}.router.weights", i));
      auto experts = experts_array.view<int64_t>();
      auto weights = weights_array.view<float>();
      for (size_t t = 0; t < experts.size(); t += static_cast<size_t>(m.top_k)) {
        std::vector<std::pair<int64_t, float>> chosen;
        for (size_t k = 0; k < static_cast<size_t>(m.top_k); ++k) {
          size_t where = static_cast<size_t>(at) * experts.size() + t + k;
          chosen.emplace_back(got[9].view<int32_t>()[where], got[10].view<float>()[where]);
        }
        std::sort(chosen.begin(), chosen.end());
        for (size_t k = 0; k < chosen.size(); ++k) {
          EXPECT_EQ(chosen[k].first, experts[t + k]) << form.name;
          EXPECT_NEAR(chosen[k].second, weights[t + k], 2e-5) << form.name;
        }
      }
    }
  }
}

// Mean cross entropy of the next token.
Value mean_loss(Value logits, Value targets) {
  Value right = reduce_sum(logits * one_hot(targets, {"v", logits.size("v")}, DType::kF32), "v");
  return reduce_mean(logsumexp(logits, "v") - right, "b s");
}

TEST_P(Model, GradientsEqualTheReferenceScannedAndNot) {
  auto golden = SafetensorsFile::open(fixture_.folder + "grads.safetensors");
  const HostArray tokens = SafetensorsFile::open(fixture_.folder + "train_batch.safetensors")->tensor("tokens");
  const int64_t rows = tokens.sizes()[0], length = tokens.sizes()[1] - 1;
  std::vector<int32_t> inputs, targets;
  for (int64_t r = 0; r < rows; ++r) {
    auto row = tokens.view<int64_t>().subspan(static_cast<size_t>(r * (length + 1)), static_cast<size_t>(length + 1));
    inputs.insert(inputs.end(), row.begin(), row.end() - 1);
    targets.insert(targets.end(), row.begin() + 1, row.end());
  }
  for (const Form& form : {kForms[0], kForms[2]}) {
    ModelConfig m = in_form(fixture_.config, form);
    Staged staged(m, weights_);
    ModelOptions options;
    if (form.flash) options.remat_saved = std::set<std::string>{"context", "out_proj"};
    ModelOut out = staged.run(m, inputs, length, options);
    Value loss = mean_loss(out.logits, staged.argument("targets", Shape{{"b", rows}, {"s", length}}, targets));
    std::vector<Value> wanted;
    std::vector<size_t> of;
    auto grads = gradients(loss, staged.weights);
    for (size_t i = 0; i < grads.size(); ++i) {
      ASSERT_EQ(static_cast<bool>(grads[i]), staged.table[staged.arrays[i].row].trained) << staged.arrays[i].name;
      if (!grads[i]) continue;
      wanted.push_back(grads[i]);
      of.push_back(i);
    }
    auto arrays = staged.arrays;
    auto got = staged.results(wanted);
    for (size_t i = 0; i < got.size(); ++i) {
      int64_t part = 0;
      for (const std::string& name : hf_names(m, staged.table[arrays[of[i]].row], arrays[of[i]])) {
        const HostArray want = golden->tensor(name);
        double largest = 0;
        for (float x : want.view<float>()) largest = std::max(largest, std::abs(static_cast<double>(x)));
        EXPECT_LE(layer_difference(got[i], part++, want), 2e-4 * largest + 1e-12) << form.name << ", " << name;
      }
    }
  }
}

TEST_P(Model, APackedDocumentGivesWhatItGivesAlone) {
  auto golden = SafetensorsFile::open(fixture_.folder + "logits.safetensors");
  std::vector<int32_t> tokens = token_ids(golden->tensor("batch.tokens"));
  const int64_t length = golden->tensor("batch.tokens").sizes()[1];
  for (const Form& form : {kForms[0], kForms[1]}) {
    ModelConfig m = in_form(fixture_.config, form);
    Staged staged(m, weights_);
    // All rows of the batch in one row, and three places of padding.
    const int64_t total = static_cast<int64_t>(tokens.size()) + 3;
    std::vector<int32_t> packed = tokens, positions, segments;
    for (int64_t i = 0; i < total; ++i) {
      const bool padding = i >= static_cast<int64_t>(tokens.size());
      if (padding) packed.push_back(0);
      positions.push_back(static_cast<int32_t>(padding ? 0 : i % length));
      segments.push_back(static_cast<int32_t>(padding ? 0 : 1 + i / length));
    }
    Shape ids{{"b", 1}, {"s", total}};
    ModelInputs in{staged.argument("tokens", ids, packed), staged.argument("positions", ids, positions),
                   staged.argument("segments", ids, segments)};
    ModelOut out = decoder(m, Weights(m, staged.table, staged.arrays, stored(staged.weights)), in);
    Value real = slice(out.logits, "s", 0, total - 3);
    Value rows =
        squeeze(split_axis(real, "s", {{"row", golden->tensor("batch.tokens").sizes()[0]}, {"s", length}}), "b");
    EXPECT_LT(max_difference(staged.results({rows})[0], golden->tensor("batch.logits")), 5e-5) << form.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Model, ::testing::Values(Which{"V2", v2}, Which{"V3", v3}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fathom
