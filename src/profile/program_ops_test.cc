#include "profile/program_ops.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "profile/hlo_testing.h"

namespace fathom {
namespace {

const ProgramOp& find(const std::vector<ProgramOp>& ops, std::string_view name) {
  auto found = std::find_if(ops.begin(), ops.end(), [&](const ProgramOp& op) { return op.name == name; });
  if (found == ops.end()) throw std::runtime_error("no op " + std::string(name));
  return *found;
}

std::vector<ProgramOp> ops_of(const std::vector<HloText>& main, const std::vector<std::string>& more = {}) {
  std::vector<std::string> computations = more;
  computations.push_back(hlo_computation("main", 1, main));
  return program_ops(parse_hlo_module(hlo_module("m", 1, computations)));
}

const HloText kX = {.name = "x", .opcode = "parameter", .shape = hlo_f32({8, 4}), .id = 1};

TEST(Place, ThePathTellsPartAndPass) {
  EXPECT_EQ(place_of("decoder/moe_layers/mla").part, "moe_layers/mla");
  EXPECT_EQ(place_of("decoder/moe_layers/mla").pass, Pass::kForward);
  EXPECT_EQ(place_of("grad/decoder/logits").part, "logits");
  EXPECT_EQ(place_of("grad/decoder/logits").pass, Pass::kBackward);
  EXPECT_EQ(place_of("remat/decoder/moe_layers/mla").pass, Pass::kRecomputed);
  EXPECT_EQ(place_of("remat/decoder/moe_layers/mla").part, "moe_layers/mla");
  EXPECT_EQ(place_of("optimizer").pass, Pass::kUpdate);
  EXPECT_EQ(place_of("").part, "(no scope)");
}

TEST(ProgramOps, WhatTakesNoTimeIsNoOperation) {
  std::vector<ProgramOp> ops = ops_of(
      {kX,
       {.name = "b", .opcode = "bitcast", .shape = hlo_f32({32}), .id = 2, .operands = {1}},
       {.name = "t", .opcode = "transpose", .shape = hlo_f32({4, 8}), .id = 3, .operands = {1}, .scope = "loss"}});
  ASSERT_EQ(ops.size(), 1U);
  EXPECT_EQ(ops[0].name, "t");
  EXPECT_EQ(ops[0].kind, "copy");
  EXPECT_EQ(ops[0].moved, 2.0 * 4 * 8 * 4);
}

TEST(ProgramOps, ALoopBodyCountsForEachRoundAndTakesItsPass) {
  std::string body = hlo_computation("body", 2,
                                     {{.name = "p", .opcode = "parameter", .shape = hlo_f32({8, 4}), .id = 10},
                                      {.name = "w", .opcode = "parameter", .shape = hlo_f32({4, 6}), .id = 11},
                                      {.name = "dot.1",
                                       .opcode = "dot",
                                       .shape = hlo_f32({8, 6}),
                                       .id = 12,
                                       .operands = {10, 11},
                                       .scope = "grad/decoder/moe_layers/mla",
                                       .contracted = {1}},
                                      {.name = "moved",
                                       .opcode = "transpose",
                                       .shape = hlo_f32({6, 8}),
                                       .id = 13,
                                       .operands = {12},
                                       .scope = "decoder/moe_layers/mla"}});
  std::vector<ProgramOp> ops = ops_of({kX,
                                       {.name = "loop",
                                        .opcode = "while",
                                        .shape = hlo_f32({8, 4}),
                                        .id = 2,
                                        .operands = {1},
                                        .called = {2},
                                        .scope = "grad/decoder/moe_layers",
                                        .backend_config = R"({"known_trip_count":{"n":"7"}})"}},
                                      {body});
  const ProgramOp& dot = find(ops, "dot.1");
  EXPECT_EQ(dot.kind, "product");
  EXPECT_EQ(dot.runs, 7);
  EXPECT_EQ(dot.flops, 7 * 2.0 * 8 * 6 * 4);
  EXPECT_EQ(dot.shape, "8x4 x 4x6");
  EXPECT_EQ(dot.pass, Pass::kBackward);
  // A forward path inside the reverse loop is work done again.
  EXPECT_EQ(find(ops, "moved").pass, Pass::kRecomputed);
  EXPECT_EQ(find(ops, "loop").kind, "control");
}

TEST(ProgramOps, AFusionIsOfTheKindOfItsHeaviestInstruction) {
  HloText p = {.name = "p", .opcode = "parameter", .shape = hlo_f32({8, 4}), .id = 10};
  HloText add = {.name = "a", .opcode = "add", .shape = hlo_f32({8, 4}), .id = 11, .operands = {10, 10}};
  HloText sum = {.name = "r", .opcode = "reduce", .shape = hlo_f32({8}), .id = 12, .operands = {11}};
  HloText copy = {.name = "c", .opcode = "copy", .shape = hlo_f32({8, 4}), .id = 13, .operands = {10}};
  // The place of an update: one number.
  HloText place = {.name = "i", .opcode = "add", .shape = hlo_f32({}), .id = 14, .operands = {10}};
  auto kind = [&](const std::vector<HloText>& fused) {
    return ops_of(
               {kX, {.name = "f", .opcode = "fusion", .shape = hlo_f32({8}), .id = 2, .operands = {1}, .called = {2}}},
               {hlo_computation("fused", 2, fused)})[0]
        .kind;
  };
  EXPECT_EQ(kind({p, add}), "elementwise");
  EXPECT_EQ(kind({p, add, sum}), "reduction");
  EXPECT_EQ(kind({p, place, copy}), "copy");
}

TEST(ProgramOps, AnUpdateInPlaceMovesThePartThatItPutsIn) {
  std::string fused = hlo_computation(
      "fused", 2,
      {{.name = "all", .opcode = "parameter", .shape = hlo_f32({100, 4}), .id = 10},
       {.name = "part", .opcode = "parameter", .shape = hlo_f32({1, 4}), .id = 11},
       {.name = "u", .opcode = "dynamic-update-slice", .shape = hlo_f32({100, 4}), .id = 12, .operands = {10, 11}}});
  std::vector<ProgramOp> ops = ops_of(
      {kX, {.name = "f", .opcode = "fusion", .shape = hlo_f32({100, 4}), .id = 2, .operands = {1, 1}, .called = {2}}},
      {fused});
  EXPECT_EQ(ops[0].moved, 2.0 * 4 * 4);
}

TEST(ProgramOps, WithoutAScopeTheOperandsOrElseTheUserGiveThePlace) {
  std::vector<ProgramOp> ops =
      ops_of({{.name = "zero", .opcode = "constant", .shape = hlo_f32({}), .id = 1},
              {.name = "fill", .opcode = "broadcast", .shape = hlo_f32({8}), .id = 2, .operands = {1}},
              {.name = "n", .opcode = "negate", .shape = hlo_f32({8}), .id = 3, .operands = {2}, .scope = "loss"},
              {.name = "c", .opcode = "copy", .shape = hlo_f32({8}), .id = 4, .operands = {3}}});
  EXPECT_EQ(find(ops, "fill").part, "loss");
  EXPECT_EQ(find(ops, "c").part, "loss");
}

TEST(ProgramOps, KernelsCountTheProductsOfTheirShapes) {
  std::vector<ProgramOp> ops = ops_of({{.name = "x", .opcode = "parameter", .shape = hlo_f32({30, 6}), .id = 1},
                                       {.name = "w", .opcode = "parameter", .shape = hlo_f32({2, 3, 4, 6}), .id = 2},
                                       {.name = "q", .opcode = "parameter", .shape = hlo_f32({2, 16, 4, 6}), .id = 3},
                                       {.name = "v", .opcode = "parameter", .shape = hlo_f32({2, 16, 4, 5}), .id = 4},
                                       {.name = "g",
                                        .opcode = "custom-call",
                                        .shape = hlo_f32({30, 4}),
                                        .id = 5,
                                        .operands = {1, 2},
                                        .target = "fathom_grouped_matmul"},
                                       {.name = "a",
                                        .opcode = "custom-call",
                                        .shape = hlo_f32({2, 16, 4, 5}),
                                        .id = 6,
                                        .operands = {3, 3, 4},
                                        .target = "fathom_flash_attention"}});
  EXPECT_EQ(find(ops, "g").kind, "grouped_matmul");
  EXPECT_TRUE(find(ops, "g").kernel);
  EXPECT_EQ(find(ops, "g").flops, 2.0 * 30 * 4 * 6);
  EXPECT_EQ(find(ops, "a").flops, 2.0 * 4 * 16 * 16 * (6 + 5));
}

}  // namespace
}  // namespace fathom
