#include <gtest/gtest.h>

#include "../tests/support/run_graph.h"
#include "train/schedule.h"

namespace fathom {
namespace {

// The rates of the first `count` steps.
std::vector<float> rates(const Schedule& schedule, int32_t count) {
  auto g = std::make_unique<Graph>();
  std::vector<HostArray> steps;
  for (int32_t step = 0; step < count; ++step) {
    g->root().results.push_back(learning_rate(schedule, g->arg("step" + std::to_string(step), {DType::kS32, {}})));
    steps.push_back(integers({}, {step}));
  }
  std::vector<float> out;
  for (const HostArray& rate : run_graph(std::move(g), steps)) out.push_back(rate.view<float>()[0]);
  return out;
}

void expect_rates(const Schedule& schedule, const std::vector<double>& expected) {
  std::vector<float> made = rates(schedule, static_cast<int32_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(made[i], expected[i], 1e-6 * schedule.peak) << "step " << i;
  }
}

// MaxText 0.2.5 with learning_rate=3e-5 and steps=10: two steps of warm-up, three of decay.
TEST(LearningRate, WarmupStableDecayEndsOnTheFinalRate) {
  Schedule wsd{.peak = 3e-5, .steps = 10, .warmup_fraction = 0.2, .type = "wsd", .wsd_decay_fraction = 0.3};
  const double p = 3e-5;
  expect_rates(wsd, {0, 1.5e-5, p, p, p, p, p, p, 1.65e-5, 3e-6, 0});
  wsd.wsd_decay_style = "cosine";
  expect_rates(wsd, {0, 1.5e-5, p, p, p, p, p, p, 1.65e-5, 3e-6, 0});
  wsd.wsd_decay_fraction = 0.4;  // four steps: a quarter of the way is not halfway down
  expect_rates(wsd, {0, 1.5e-5, p, p, p, p, p, 0.1 * p + 0.9 * p * 0.75, 0.1 * p + 0.9 * p * 0.25, 3e-6, 0});
  wsd.wsd_decay_fraction = 0.1;
  expect_rates(wsd, {0, 1.5e-5, p, p, p, p, p, p, p, 3e-6, 0});
}

// MaxText: 12 steps, a quarter of them warm-up.
TEST(LearningRate, CosineEndsOnTheFinalRate) {
  Schedule cosine{.peak = 3e-5, .steps = 12, .warmup_fraction = 0.25};
  std::vector<float> made = rates(cosine, 13);
  EXPECT_NEAR(made[3], 3e-5, 1e-11);
  EXPECT_NEAR(made[4], 2.8972e-5, 1e-9);
  EXPECT_NEAR(made[5], 2.6046e-5, 1e-9);
  EXPECT_NEAR(made[11], 3e-6, 1e-11);
  EXPECT_EQ(made[12], 0);
}

}  // namespace
}  // namespace fathom
