#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "../tests/support/run_graph.h"
#include "graph/grad/gradients.h"
#include "model/capacity.h"
#include "model/ffn.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;

// A router over two inputs whose products are the given logits: x = (1, 0), router row e = (logit e, 0).
struct RouterRun {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};
RouterRun run_router(const ModelConfig& m, const std::vector<float>& logits, const std::vector<float>& bias = {}) {
  auto g = std::make_unique<Graph>();
  const Axis e{"e", m.experts}, d{"d", 2};
  MoeWeights w;
  Shape xs{{"b", 1}, {"s", 1}, d};
  Value x = g->arg("x", {DType::kF32, xs});
  w.router = g->arg("router", {DType::kF32, Shape{e, d}});
  std::vector<float> rows;
  for (float l : logits) rows.insert(rows.end(), {l, 0});
  std::vector<HostArray> inputs{floats(xs, {1, 0}), floats(Shape{e, d}, rows)};
  if (!bias.empty()) {
    w.router_bias = g->arg("bias", {DType::kF32, Shape{e}});
    inputs.push_back(floats(Shape{e}, bias));
  }
  Routing r = route(m, w, x);
  g->root().results = {r.experts, r.weights};
  auto out = run_graph(std::move(g), inputs);
  auto experts = out[0].view<int32_t>();
  auto weights = out[1].view<float>();
  return {{experts.begin(), experts.end()}, {weights.begin(), weights.end()}};
}

ModelConfig six_experts() {
  ModelConfig m = tiny_v3();
  m.experts = 6;
  m.top_k = 2;
  m.groups = 0;
  m.routed_scaling_factor = 1;
  return m;
}

TEST(Router, V2LiteTakesTheLargestProbabilitiesWithoutRenormalising) {
  ModelConfig m = six_experts();
  m.sigmoid_scores = m.router_bias = m.renormalise = false;
  std::vector<float> logits{0, 1, 2, 3, -1, 0.5F};
  RouterRun r = run_router(m, logits);
  float sum = 0;
  for (float l : logits) sum += std::exp(l);
  EXPECT_THAT(r.experts, ElementsAre(3, 2));
  EXPECT_NEAR(r.weights[0], std::exp(3.0F) / sum, 1e-6);
  EXPECT_NEAR(r.weights[1], std::exp(2.0F) / sum, 1e-6);
}

TEST(Router, V2GroupsAreRankedByTheirBestExpert) {
  ModelConfig m = six_experts();
  m.sigmoid_scores = m.router_bias = m.renormalise = false;
  m.groups = 3;
  m.kept_groups = 1;
  m.group_by_maximum = true;
  m.routed_scaling_factor = 16;
  // Group 1 has the best expert, group 0 the best pair.
  std::vector<float> logits{2, 2, 2.5F, -3, 0, 0};
  RouterRun r = run_router(m, logits);
  EXPECT_THAT(r.experts, ElementsAre(2, 3));
  float sum = 0;
  for (float l : logits) sum += std::exp(l);
  EXPECT_NEAR(r.weights[0], 16 * std::exp(2.5F) / sum, 1e-5);
}

TEST(Router, V3GroupsAreRankedByTheirTwoBestWithBiasAndWeightsLeaveItOut) {
  ModelConfig m = six_experts();
  m.groups = 3;
  m.kept_groups = 1;
  m.routed_scaling_factor = 2.5;
  std::vector<float> logits{1, 1, 3, -3, 0, 0}, bias{0, 0, 0, 0, 0, 0};
  EXPECT_THAT(run_router(m, logits, bias).experts, ElementsAre(0, 1)) << "0.73 + 0.73 > 0.95 + 0.05";
  // Choice values below zero everywhere: a group that is out must not come back as 0.
  bias = {-3, -3, -3, -3, -2, -2.5F};
  RouterRun r = run_router(m, logits, bias);
  EXPECT_THAT(r.experts, ElementsAre(4, 5));
  EXPECT_NEAR(r.weights[0], 1.25, 1e-6);
  EXPECT_NEAR(r.weights[1], 1.25, 1e-6);
}

TEST(Router, TheLowerExpertWinsATie) {
  ModelConfig m = six_experts();
  EXPECT_THAT(run_router(m, {0, 1, 1, 1, 1, 0}, {0, 0, 0, 0, 0, 0}).experts, ElementsAre(1, 2));
}

// Otherwise an expert that gives no number would just never be chosen, or be chosen at random.
TEST(Router, AScoreThatIsNoNumberMakesTheWeightsNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (float hole : {nan, -nan}) {
    for (int64_t groups : {0, 3}) {
      ModelConfig m = six_experts();
      m.groups = groups;
      m.kept_groups = 1;
      RouterRun r = run_router(m, {3, 2, 1, 0, hole, -1}, {0, 0, 0, 0, 0, 0});
      for (float weight : r.weights) EXPECT_TRUE(std::isnan(weight)) << groups;
      for (int32_t expert : r.experts) EXPECT_TRUE(expert >= 0 && expert < m.experts) << expert;
    }
  }
  ModelConfig m = six_experts();
  for (float weight : run_router(m, {3, 2, 1, 0, 0, -1}, {0, 0, 0, 0, 0, nan}).weights) EXPECT_TRUE(std::isnan(weight));
}

// ---- the whole block ----

struct Block {
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  Value x;
  MoeWeights w;
  std::vector<HostArray> inputs;

  explicit Block(const ModelConfig& m) {
    const Axis d{"d", m.d}, e{"e", m.experts}, f{"f", m.moe_mlp_dim};
    uint32_t seed = 0;
    auto arg = [&](const char* name, const Shape& shape, float scale) {
      Value v = graph->arg(name, {DType::kF32, shape});
      inputs.push_back(random_floats(shape, ++seed, scale));
      return v;
    };
    x = arg("x", Shape{{"b", 2}, {"s", 5}, d}, 1);
    w.router = arg("router", Shape{e, d}, 0.3F);
    w.router_bias = arg("bias", Shape{e}, 0.1F);
    w.experts = {arg("gate", Shape{e, f, d}, 0.2F), arg("up", Shape{e, f, d}, 0.2F), arg("down", Shape{e, d, f}, 0.2F)};
  }
};

TEST(Moe, GroupedAndMaskedExpertsAgreeForwardAndBackward) {
  std::vector<std::vector<HostArray>> results;
  for (bool grouped : {false, true}) {
    ModelConfig m = tiny_v3();
    m.grouped = grouped;
    Block block(m);
    MoeOut out = moe(m, block.w, block.x);
    Value loss = reduce_sum(out.y * out.y, "");
    block.graph->root().results = gradients(
        loss, {block.x, block.w.router, block.w.experts.w_gate, block.w.experts.w_up, block.w.experts.w_down});
    block.graph->root().results.push_back(out.y);
    block.graph->root().results.push_back(convert(out.load, DType::kF32));
    results.push_back(run_graph(std::move(block.graph), block.inputs));
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    float largest = 0;
    for (float v : results[0][i].view<float>()) largest = std::max(largest, std::abs(v));
    EXPECT_LT(max_difference(results[0][i], results[1][i]), 2e-6 * largest) << "result " << i;
  }
  float load = 0;
  for (float n : results[0].back().view<float>()) load += n;
  EXPECT_EQ(load, 2 * 5 * 3) << "every token chose top_k experts";
}

// The balance loss and its gradient by the router's matrix, then what it is made of.
std::vector<HostArray> run_balance_loss(bool grouped) {
  ModelConfig m = tiny_v3();
  m.grouped = grouped;
  m.load_balance_weight = 0.01;
  Block block(m);
  MoeOut out = moe(m, block.w, block.x);
  block.graph->root().results = {out.balance_loss, gradients(out.balance_loss, {block.w.router})[0], out.routing.choice,
                                 out.routing.experts};
  return run_graph(std::move(block.graph), block.inputs);
}

TEST(Moe, BalanceLossFollowsItsFormulaPerRow) {
  auto got = run_balance_loss(true);
  auto x = got[2].view<float>();
  auto experts = got[3].view<int32_t>();
  const size_t e = 8, k = 3, s = 5;
  double sum = 0;
  for (size_t b = 0; b < 2; ++b) {
    std::vector<double> p(e, 0), share(e, 0);
    for (size_t t = b * s; t < (b + 1) * s; ++t) {
      double total = 0;
      for (size_t i = 0; i < e; ++i) total += std::exp(x[t * e + i]);
      for (size_t i = 0; i < e; ++i) p[i] += std::exp(x[t * e + i]) / total / s;
      for (size_t i = 0; i < k; ++i) share[static_cast<size_t>(experts[t * k + i])] += 1.0 / (k * s);
    }
    for (size_t i = 0; i < e; ++i) sum += p[i] * share[i];
  }
  EXPECT_NEAR(got[0].view<float>()[0], 0.01 * e * e * sum / (2 * e), 1e-7);
}

// V3 report, eq. 17-20, summed over the three layers of the model.
TEST(Moe, BalanceLossOfTheReportFollowsItsFormula) {
  ModelConfig m = tiny_v3();
  m.load_balance_weight = 0.01;
  m.sequence_balance = true;
  Block block(m);
  MoeOut out = moe(m, block.w, block.x);
  block.graph->root().results = {out.balance_loss, out.routing.scores,
                                 gradients(out.balance_loss, {block.w.router})[0]};
  auto got = run_graph(std::move(block.graph), block.inputs);
  auto x = got[1].view<float>();
  const size_t e = 8, k = 3, s = 5;
  double sum = 0;
  for (size_t b = 0; b < 2; ++b) {
    std::vector<double> p(e, 0), f(e, 0);
    for (size_t t = b * s; t < (b + 1) * s; ++t) {
      double total = 0;
      for (size_t i = 0; i < e; ++i) total += static_cast<double>(x[t * e + i]);
      for (size_t i = 0; i < e; ++i) {
        p[i] += static_cast<double>(x[t * e + i]) / total / s;
        size_t better = 0;
        for (size_t j = 0; j < e; ++j) better += x[t * e + j] > x[t * e + i] ? 1 : 0;
        if (better < k) f[i] += static_cast<double>(e) / static_cast<double>(k * s);
      }
    }
    for (size_t i = 0; i < e; ++i) sum += f[i] * p[i];
  }
  EXPECT_NEAR(got[0].view<float>()[0], 3 * 0.01 * sum / 2, 1e-7);
  float largest = 0;
  for (float v : got[2].view<float>()) largest = std::max(largest, std::abs(v));
  EXPECT_GT(largest, 1e-6F);
}

// What is kept does not depend on where a row stands, and a token beyond the capacity loses that expert alone.
TEST(Moe, ExpertsKeepTheFirstTokensOfEachRow) {
  ModelConfig m = tiny_v3();
  m.grouped = false;
  m.capacity_factor = 1.0;
  EXPECT_EQ(expert_capacity(m, 5), 2);
  EXPECT_EQ(expert_capacity(m, 8), 3);
  m.capacity_factor = 1.25;
  EXPECT_EQ(expert_capacity(m, 5), 2) << "2.5, rounded down";
  m.capacity_factor = 5;
  EXPECT_EQ(expert_capacity(m, 0), 5) << "never below the factor";

  auto g = std::make_unique<Graph>();
  const Shape shape{{"b", 2}, {"s", 3}, {"k", 2}};
  KeptChoices choices = keep_first(g->arg("experts", {DType::kS32, shape}), 3, 2);
  g->root().results = {convert(choices.kept, DType::kS32), choices.map.place_of_slot, choices.map.slot_of_place};
  auto got = run_graph(std::move(g), {integers(shape, {2, 0, 2, 1, 0, 2, 0, 1, 0, 1, 1, 0})});
  auto as_vector = [](const HostArray& a) {
    return std::vector<int32_t>(a.view<int32_t>().begin(), a.view<int32_t>().end());
  };
  EXPECT_EQ(as_vector(got[0]), (std::vector<int32_t>{1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(as_vector(got[1]), (std::vector<int32_t>{4, 0, 5, 2, 1, -1, 0, 2, 1, 3, -1, -1}));
  EXPECT_EQ(as_vector(got[2]), (std::vector<int32_t>{1, 4, 3, -1, 0, 2, 0, 2, 1, 3, -1, -1}));
}

// A capacity above every count drops nothing: the form is then the sum of all choices, forward and backward.
TEST(Moe, CappedExpertsEqualTheMaskedOnesWhereNothingIsDropped) {
  std::vector<std::vector<HostArray>> results;
  for (double factor : {-1.0, 100.0, 0.1}) {
    ModelConfig m = tiny_v3();
    m.grouped = false;
    m.capacity_factor = factor;
    Block block(m);
    MoeOut out = moe(m, block.w, block.x);
    Value loss = reduce_sum(out.y * out.y, "");
    block.graph->root().results = gradients(
        loss, {block.x, block.w.router, block.w.experts.w_gate, block.w.experts.w_up, block.w.experts.w_down});
    for (Value& d : block.graph->root().results) {
      if (!d) d = zeros(*block.graph, {DType::kF32, {}});
    }
    block.graph->root().results.push_back(out.y);
    if (out.dropped) block.graph->root().results.push_back(convert(out.dropped, DType::kF32));
    results.push_back(run_graph(std::move(block.graph), block.inputs));
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    float largest = 0;
    for (float v : results[0][i].view<float>()) largest = std::max(largest, std::abs(v));
    EXPECT_LT(max_difference(results[0][i], results[1][i]), 2e-6 * largest) << "result " << i;
  }
  EXPECT_EQ(results[1].back().view<float>()[0], 0);
  // A factor so small that no expert has a place.
  for (float v : results[2][5].view<float>()) EXPECT_EQ(v, 0);
  EXPECT_EQ(results[2].back().view<float>()[0], 2 * 5 * 3);
}

TEST(Moe, TheFormOfTheExpertsChangesNeitherTheBalanceLossNorItsGradient) {
  auto grouped = run_balance_loss(true), dense = run_balance_loss(false);
  EXPECT_EQ(max_difference(grouped[0], dense[0]), 0);
  EXPECT_EQ(max_difference(grouped[1], dense[1]), 0);
  float largest = 0;
  for (float v : dense[1].view<float>()) largest = std::max(largest, std::abs(v));
  EXPECT_GT(largest, 1e-6F);
}

}  // namespace
}  // namespace fathom
