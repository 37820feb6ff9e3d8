#include "model/decoder.h"

#include <gmock/gmock.h>

#include <set>

#include "graph/fused_op.h"
#include "graph/grad/gradients.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;

struct Built {
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  std::vector<Param> table;
  std::vector<ParamArray> arrays;
  std::vector<Value> weights;
  ModelOut out;
};

Built build(const ModelConfig& m, int64_t batch, int64_t length, const ModelOptions& options = {}) {
  Built b;
  b.table = param_table(m);
  b.arrays = param_arrays(m, b.table);
  for (const ParamArray& a : b.arrays) b.weights.push_back(b.graph->arg(a.name, a.type));
  TensorType ids{DType::kS32, Shape{{"b", batch}, {"s", length}}};
  ModelInputs in{b.graph->arg("tokens", ids), b.graph->arg("positions", ids), b.graph->arg("segments", ids)};
  b.out = decoder(m, Weights(m, b.table, b.arrays, stored(b.weights)), in, options);
  return b;
}

TEST(Weights, EveryRowFillsOneSlot) {
  for (const ModelConfig& m : {deepseek2_16b(), deepseek32_671b()}) {
    LayerWeights w;
    for (const Param& p : param_table(m)) {
      if (!p.stack) continue;
      std::string within = p.name.substr(stacks(m)[*p.stack].name.size() + 1);
      EXPECT_NE(layer_slot(w, within), nullptr) << p.name;
    }
  }
  LayerWeights w;
  EXPECT_EQ(layer_slot(w, "mla.wq_c"), nullptr);
}

TEST(Weights, RefusesAWeightOfAnotherShape) {
  ModelConfig m = tiny_v3();
  Graph g;
  std::vector<Param> table = param_table(m);
  std::vector<ParamArray> arrays = param_arrays(m, table);
  std::vector<Value> values;
  for (const ParamArray& a : arrays) values.push_back(g.arg(a.name, a.type));
  values[1] = g.arg("other", {DType::kF32, Shape{{"d", 31}}});
  EXPECT_THAT([&] { Weights(m, table, arrays, stored(values)); },
              ::testing::ThrowsMessage<GraphError>(HasSubstr("decoder.dense_layers.pre_norm")));
}

TEST(Weights, RefuseARowThatNoMemberIsFor) {
  ModelConfig m = tiny_v3();
  Graph g;
  std::vector<Param> table = param_table(m);
  table.back().name = "decoder.enorm";
  std::vector<ParamArray> arrays = param_arrays(m, table);
  std::vector<Value> values;
  for (const ParamArray& a : arrays) values.push_back(g.arg(a.name, a.type));
  EXPECT_THAT([&] { Weights(m, table, arrays, stored(values)); },
              ::testing::ThrowsMessage<GraphError>(HasSubstr("no weight named decoder.enorm")));
}

TEST(Decoder, ReleasedModelsBuildWithFewNodes) {
  for (ModelConfig m : {deepseek2_16b(), deepseek2_236b(), deepseek3_671b(), deepseek32_671b()}) {
    Built b = build(m, 4, 1024, {.remat_saved = std::set<std::string>{}});
    EXPECT_EQ(b.out.logits.type(), (TensorType{DType::kF32, Shape{{"b", 4}, {"s", 1024}, {"v", m.vocab}}}));
    EXPECT_LT(b.graph->node_count(), 1500) << "layers are scanned: the count does not depend on their number";
  }
}

TEST(Decoder, ScannedAndUnscannedGiveTheSameTypes) {
  for (bool grouped : {false, true}) {
    ModelConfig m = tiny_v3();
    m.grouped = grouped;
    m.load_balance_weight = 0.01;
    ModelOptions options{.capture = true};
    Built scanned = build(m, 2, 16, options);
    m.scan_layers = false;
    Built layered = build(m, 2, 16, options);
    EXPECT_EQ(scanned.out.logits.type(), layered.out.logits.type());
    EXPECT_EQ(scanned.out.losses.find("moe_lb_loss").type(), (TensorType{DType::kF32, {}}));
    ASSERT_EQ(scanned.out.stacks.size(), 2u);
    const ValuesByName &dense = scanned.out.stacks[0].beside, &moe = scanned.out.stacks[1].beside;
    EXPECT_EQ(moe.size(), 8u);
    for (const auto& [name, value] : moe) {
      Value other = layered.out.stacks[1].beside.find(name);
      ASSERT_TRUE(other) << name;
      EXPECT_EQ(value.type(), other.type()) << name;
    }
    EXPECT_EQ(moe.find("router.experts").type(),
              (TensorType{DType::kS32, Shape{{"l", 3}, {"b", 2}, {"s", 16}, {"k", 3}}}));
    EXPECT_EQ(dense.find("out").shape().sizes(), (std::vector<int64_t>{1, 2, 16, 32}));
    EXPECT_FALSE(dense.find("load"));
  }
}

TEST(Decoder, GradientsReachEveryTrainedParameterAndNotTheRouterBias) {
  for (bool scan : {true, false}) {
    for (bool flash : {true, false}) {
      ModelConfig m = tiny_v3();
      m.scan_layers = scan;
      m.flash = flash;
      Built b = build(m, 2, 16, {.remat_saved = std::set<std::string>{"context"}});
      Value loss = reduce_sum(b.out.logits, "");
      std::vector<Value> grads = gradients(loss, b.weights);
      for (size_t i = 0; i < grads.size(); ++i) {
        const bool trained = b.table[b.arrays[i].row].trained;
        ASSERT_EQ(static_cast<bool>(grads[i]), trained) << b.arrays[i].name;
        if (trained) {
          EXPECT_EQ(grads[i].type(), b.arrays[i].type) << b.arrays[i].name;
        }
      }
    }
  }
}

TEST(Decoder, TheIndexerIsAskedWhereARowIsLongerThanWhatItKeeps) {
  ModelConfig m = deepseek32_671b();
  m.indexer_loss_weight = 1;
  const Built whole = build(m, 1, 2048), chosen = build(m, 1, 4096);
  EXPECT_FALSE(whole.out.losses.find("indexer_loss"));
  Value loss = chosen.out.losses.find("indexer_loss");
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss.type().to_string(), (TensorType{DType::kF32, Shape{{"b", 1}, {"s", 4096}}}).to_string());
}

TEST(Decoder, TheIndexersLearnFromTheirLossAlone) {
  for (bool flash : {true, false}) {
    ModelConfig m = tiny_v3();
    m.flash = flash;
    m.autoselected = false;
    m.indexer = true;
    m.indexer_heads = 2;
    m.indexer_dim = 12;
    m.indexer_top_k = 4;
    m.indexer_loss_weight = 1;
    Built b = build(m, 2, 16, {.remat_saved = std::set<std::string>{}});
    std::vector<Value> by_logits = gradients(reduce_sum(b.out.logits, ""), b.weights);
    std::vector<Value> by_indexer = gradients(reduce_sum(b.out.losses.find("indexer_loss"), ""), b.weights);
    for (size_t i = 0; i < b.weights.size(); ++i) {
      const bool of_indexer = b.arrays[i].name.find(".indexer.") != std::string::npos;
      const bool trained = b.table[b.arrays[i].row].trained;
      EXPECT_TRUE(by_indexer[i] || !of_indexer) << b.arrays[i].name;
      EXPECT_EQ(static_cast<bool>(by_logits[i]), trained && !of_indexer) << b.arrays[i].name;
    }
  }
}

// The weight that an operand of a product is, by its name without layer numbers.
std::string weight_named(Value v) {
  while (v.node().op == Op::kConvert) v = v.node().operands[0];
  if (v.node().op != Op::kArg) return "no weight";
  std::string out, words = v.node().attr<ArgAttrs>().name;
  std::ranges::replace(words, '.', ' ');
  for (const std::string& part : split_names(words)) {
    if (part.find_first_not_of("0123456789") != std::string::npos) out += out.empty() ? part : "." + part;
  }
  return out;
}

// Names of the weights that enter a product of 8-bit numbers in the forward pass.
std::set<std::string> quantized_weights(const Graph& graph) {
  std::set<std::string> out;
  for (const Node* node : graph.root().nodes()) {
    if (node->op != Op::kFused) continue;
    const FusedAttrs& attrs = node->attr<FusedAttrs>();
    const std::string_view op = attrs.op->name;
    if (op == "fp8_linear" || op == "fp8_grouped_matmul") out.insert(weight_named(node->operands[1]));
    if (op == "expert_output" && attrs.ints.at(1) != 0) out.insert(weight_named(node->operands[2]));
  }
  return out;
}

// V3 report, section 3.3.1: embedding, head, router, norms and attention's own products stay; here the indexer too.
TEST(Decoder, WithFp8AllLinearLayersAreQuantizedButHeadRouterAndIndexer) {
  for (bool grouped : {true, false}) {
    ModelConfig m = tiny_v3();
    m.scan_layers = false;
    m.grouped = grouped;
    m.fp8 = true;
    m.prediction_layers = 1;
    m.indexer = true;
    m.indexer_heads = 2;
    m.indexer_dim = 12;
    m.indexer_top_k = 4;
    const Built b = build(m, 2, 16, {.predictions = true});
    std::set<std::string> all;
    for (const Value& w : b.weights) all.insert(weight_named(w));
    const std::set<std::string> quantized = quantized_weights(*b.graph);
    for (const std::string& name : all) {
      const bool matrix =
          std::ranges::any_of(std::vector<std::string>{".mla.w", ".mlp.w_", ".experts.w_", ".shared.w_", ".projection"},
                              [&](const std::string& part) { return name.find(part) != std::string::npos; });
      EXPECT_EQ(quantized.contains(name), matrix) << name;
    }
    EXPECT_FALSE(quantized.contains("no weight"));
    EXPECT_GE(quantized.size(), 20U);
  }
  EXPECT_TRUE(quantized_weights(*build(tiny_v3(), 2, 16).graph).empty());
}

}  // namespace
}  // namespace fathom
