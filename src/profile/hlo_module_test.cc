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

TEST(HloModule, ALoopWithoutANoteRunsUpToTheConstantOfItsCondition) {
  std::string condition =
      hlo_computation("condition", 2,
                      {{.name = "i", .opcode = "parameter", .shape = hlo_f32({}), .id = 1},
                       {.name = "n", .opcode = "constant", .shape = hlo_f32({}), .id = 2, .constant = 58},
                       {.name = "less", .opcode = "compare", .shape = hlo_f32({}), .id = 3, .operands = {1, 2}}});
  std::string open_end =
      hlo_computation("open", 3,
                      {{.name = "i", .opcode = "parameter", .shape = hlo_f32({}), .id = 1},
                       {.name = "n", .opcode = "parameter", .shape = hlo_f32({}), .id = 2},
                       {.name = "less", .opcode = "compare", .shape = hlo_f32({}), .id = 3, .operands = {1, 2}}});
  HloModule module = parse_hlo_module(hlo_module("m", 2, {condition, open_end}));
  HloInstruction loop{.opcode = "while", .called = {1, 2}};
  EXPECT_EQ(trip_count(loop, module), 58);
  loop.called = {1, 3};
  EXPECT_EQ(trip_count(loop, module), 1) << "not known";
  loop.backend_config = R"({"known_trip_count":{"n":"7"}})";
  EXPECT_EQ(trip_count(loop, module), 7);
}

TEST(HloModule, GroupsOfCollectivesAreReadInEveryForm) {
  auto group = [](int field, const std::string& list) {
    std::string instruction = ProtoWriter().bytes(1, "r").bytes(2, "all-reduce").varint(35, 1).bytes(field, list).str();
    std::string main = ProtoWriter().bytes(1, "main").bytes(2, instruction).varint(5, 1).varint(6, 1).str();
    return parse_hlo_module(hlo_module("m", 1, {main})).computation(1).instruction(1).group;
  };
  auto axis = [](const char* name, int64_t size) { return ProtoWriter().bytes(1, name).varint(2, size).str(); };
  constexpr int64_t kIds[] = {0, 2, 4};
  std::string listed = ProtoWriter().bytes(1, ProtoWriter().varints(1, kIds).str()).str();
  EXPECT_EQ(group(87, listed), 3);
  EXPECT_EQ(group(87, ProtoWriter().bytes(2, ProtoWriter().varint(1, 2).varint(2, 16).str()).str()), 16);
  std::string mesh = ProtoWriter().bytes(1, axis("fsdp", 4)).bytes(1, axis("expert", 8)).str();
  std::string second = ProtoWriter().varint(1, 1).str();
  std::string half = ProtoWriter().varint(1, 1).bytes(2, ProtoWriter().varint(1, 4).varint(2, 2).str()).str();
  EXPECT_EQ(group(93, ProtoWriter().bytes(1, mesh).bytes(2, "").str()), 4);
  EXPECT_EQ(group(93, ProtoWriter().bytes(1, mesh).bytes(2, "").bytes(2, second).str()), 32);
  EXPECT_EQ(group(93, ProtoWriter().bytes(1, mesh).bytes(2, half).str()), 2);
}

TEST(HloModule, AProgramCutShortOrWithAMissingIdIsAnError) {
  std::string bytes = dot_module();
  EXPECT_THROW(parse_hlo_module(std::string_view(bytes).substr(0, bytes.size() - 1)), FormatError);
  EXPECT_THROW(parse_hlo_module(bytes).computation(8), FormatError);
}

}  // namespace
}  // namespace fathom
