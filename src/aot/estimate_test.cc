#include "aot/estimate.h"

#include <gmock/gmock.h>

#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr ChipPeaks kPeaks{.flops = 100e12, .links = 200e9, .memory = 1000e9};

TEST(EstimateLine, TheSlowestPartBoundsTheTime) {
  EXPECT_EQ(
      estimate_line({.needed_flops = 5e12, .executed_flops = 160e12, .link_bytes = 20e9}, kPeaks),
      "estimate: 5.00 TFLOP per device and step needed by the model, 160 executed (recomputation and experts that "
      "were not chosen included), 20.00 GB over the links; at least 1.60 s at the chip's peaks");
  EXPECT_THAT(estimate_line({.executed_flops = 160e12, .link_bytes = 1000e9}, kPeaks), HasSubstr("at least 5.00 s"));
  EXPECT_THAT(estimate_line({.executed_flops = 1e9, .link_bytes = 1e6, .memory_bytes = 20e9}, kPeaks),
              HasSubstr("at least 0.02 s"));
}

TEST(EstimateLine, WhatIsNotKnownIsNotMadeUp) {
  const std::string before = estimate_line({.needed_flops = 5e12, .executed_flops = 160e12, .link_bytes = {}}, kPeaks);
  EXPECT_THAT(before, testing::EndsWith("included); at least 1.60 s at the chip's peaks (what goes over the links is "
                                        "known when it is compiled)"));
  const std::string nowhere = estimate_line({.executed_flops = 160e12, .link_bytes = 1e9}, {});
  EXPECT_THAT(nowhere, HasSubstr("1.00 GB over the links; the chip's peaks are not known"));
  EXPECT_THAT(nowhere, Not(HasSubstr("at least")));
}

StagedProgram staged(ProgramKind kind) {
  const std::vector<std::string> words{"model_name=deepseek3-tiny", "dataset_type=synthetic",  "run_name=t",
                                       "compile_topology=v5e-4",    "per_device_batch_size=1", "max_target_length=64"};
  return stage(resolve_config(words, {}, {.needs_data = false}).config, kind, 4, 1, {.hardware = Hardware::kTpu});
}

TEST(Estimate, ATrainStepReadsAndWritesItsWholeState) {
  const StagedProgram program = staged(ProgramKind::kTrain);
  const auto state = static_cast<double>(program.state.bytes_of_a_device());
  const Estimate e = estimate(program, nullptr);
  EXPECT_GT(e.memory_bytes, 2 * state);
  EXPECT_LT(e.memory_bytes, 2.01 * state) << "batch and scalars beside it";
  EXPECT_FALSE(e.link_bytes);
  EXPECT_EQ(e.executed_flops, program.executed_flops);
  EXPECT_EQ(estimate(staged(ProgramKind::kForward), nullptr).memory_bytes, 0);
}

}  // namespace
}  // namespace fathom
