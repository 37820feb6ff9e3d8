#include "profile/hlo_module.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "profile/hlo_testing.h"

namespace fathom {
namespace {

std::string dot_module() {
  return hlo_module("step", 7,
                    {hlo_computation("main", 7,
                                     {{.name = "a", .opcode = "parameter", .shape = hlo_f32({300, 5}), .id = 1},
                                      {.name = "b", .opcode = "parameter", .shape = hlo_f32({5, 4}), .id = 2},
                                      {.name = "dot.3",
                                       .opcode = "dot",
                                       .shape = hlo_f32({300, 4}),
                                       .id = 3,
                                       .operands = {1, 2},
                                       .scope = "decoder/logits",
                                       .contracted = {1}}})});
}

TEST(HloModule, NamesShapesOperandsAndScopesAreRead) {
  HloModule module = parse_hlo_module(dot_module());
  EXPECT_EQ(module.name, "step");
  const HloComputation& main = module.computation(module.entry);
  const HloInstruction& dot = main.instruction(main.root);
  EXPECT_EQ(dot.name, "dot.3");
  EXPECT_EQ(dot.opcode, "dot");
  EXPECT_EQ(dot.scope, "decoder/logits");
  EXPECT_EQ(dot.operands, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(dot.shape.sizes, (std::vector<int64_t>{300, 4}));  // 300 takes two bytes
  EXPECT_EQ(dot.shape.bytes(), 4800);
  EXPECT_EQ(main.user(1), &dot);
  EXPECT_EQ(main.user(3), nullptr);
}

TEST(HloModule, ADotCountsTwoOperationsForEachPairOfNumbers) {
  HloModule module = parse_hlo_module(dot_module());
  const HloComputation& main = module.computation(7);
  EXPECT_EQ(dot_flops(main.instruction(3), main), 2.0 * 300 * 4 * 5);
}

TEST(HloModule, ATupleHasTheBytesOfItsParts) {
  HloModule module = parse_hlo_module(hlo_module(
      "m", 1,
      {hlo_computation(
          "c", 1, {{.name = "t", .opcode = "tuple", .shape = hlo_tuple({hlo_f32({2, 3}), hlo_f32({})}), .id = 1}})}));
  EXPECT_EQ(module.computation(1).instruction(1).shape.bytes(), 28);
}

TEST(HloModule, ALoopRunsAsOftenAsXlaNoted) {
  HloInstruction loop;
  EXPECT_EQ(known_trip_count(loop), 1);
  loop.backend_config = R"({"known_init_step":{"init":"0"},"known_trip_count":{"n":"61"}})";
  EXPECT_EQ(known_trip_count(loop), 61);
}

TEST(HloModule, AProgramCutShortOrWithAMissingIdIsAnError) {
  std::string bytes = dot_module();
  EXPECT_THROW(parse_hlo_module(std::string_view(bytes).substr(0, bytes.size() - 1)), FormatError);
  EXPECT_THROW(parse_hlo_module(bytes).computation(8), FormatError);
}

}  // namespace
}  // namespace fathom
