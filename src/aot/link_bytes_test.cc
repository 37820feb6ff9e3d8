#include "aot/link_bytes.h"

#include <gtest/gtest.h>

#include "profile/hlo_testing.h"

namespace fathom {
namespace {

HloText parameter(int64_t id, const std::vector<int64_t>& sizes) {
  return {.name = "p" + std::to_string(id), .opcode = "parameter", .shape = hlo_f32(sizes), .id = id};
}

// One collective [100] -> `out`, in groups of `group` of 8 devices.
double bytes_of(const std::string& op, int64_t out, int64_t group) {
  HloText c{.name = "c", .opcode = op, .shape = hlo_f32({out}), .id = 2, .operands = {1}, .group = group};
  return link_bytes(hlo_module("m", 1, {hlo_computation("main", 1, {parameter(1, {100}), c})}), 8);
}

TEST(LinkBytes, ACollectiveBringsWhatOthersHold) {
  EXPECT_EQ(bytes_of("all-gather", 400, 4), 1200);
  EXPECT_EQ(bytes_of("reduce-scatter", 25, 4), 300);
  EXPECT_EQ(bytes_of("all-reduce", 100, 4), 600) << "round once to add and once to tell";
  EXPECT_EQ(bytes_of("all-reduce", 100, 0), 700) << "all devices where nothing is said";
  EXPECT_EQ(bytes_of("all-to-all", 100, 4), 300);
  EXPECT_EQ(bytes_of("collective-permute", 100, 0), 400);
  EXPECT_EQ(bytes_of("add", 100, 0), 0);
}

TEST(LinkBytes, AStartHasItsOperandsInItsShape) {
  HloText start{.name = "s",
                .opcode = "all-gather-start",
                .shape = hlo_tuple({hlo_f32({100}), hlo_f32({400})}),
                .id = 2,
                .operands = {1},
                .group = 4};
  HloText done{.name = "d", .opcode = "all-gather-done", .shape = hlo_f32({400}), .id = 3, .operands = {2}};
  EXPECT_EQ(link_bytes(hlo_module("m", 1, {hlo_computation("main", 1, {parameter(1, {100}), start, done})}), 8), 1200);
}

TEST(LinkBytes, LoopsRepeatAndPiecesOfOneCollectiveCountOnce) {
  HloText gather{
      .name = "g", .opcode = "all-gather", .shape = hlo_f32({400}), .id = 2, .operands = {1}, .channel = 7, .group = 4};
  auto piece = [&](int64_t id) { return hlo_computation("piece", id, {parameter(1, {100}), gather}); };
  auto call = [&](int64_t id, int64_t of) {
    return HloText{.name = "f", .opcode = "fusion", .shape = hlo_f32({400}), .id = id, .operands = {1}, .called = {of}};
  };
  std::string body = hlo_computation("body", 4, {parameter(1, {100}), call(2, 2), call(3, 3)});
  HloText loop{.name = "w",
               .opcode = "while",
               .shape = hlo_f32({100}),
               .id = 2,
               .operands = {1},
               .called = {4, 5},
               .backend_config = R"({"known_trip_count":{"n":"58"}})"};
  std::string main = hlo_computation("main", 1, {parameter(1, {100}), loop});
  EXPECT_EQ(link_bytes(hlo_module("m", 1, {main, piece(2), piece(3), body}), 8), 58 * 1200);
}

TEST(LinkBytes, AReductionThatIsSlicedInItsFusionGoesRoundOnce) {
  HloText sum{.name = "r", .opcode = "all-reduce", .shape = hlo_f32({100}), .id = 2, .operands = {1}, .group = 4};
  HloText part{.name = "s", .opcode = "dynamic-slice", .shape = hlo_f32({25}), .id = 3, .operands = {2}};
  std::string fused = hlo_computation("fused", 2, {parameter(1, {100}), sum, part});
  HloText call{.name = "f", .opcode = "fusion", .shape = hlo_f32({25}), .id = 2, .operands = {1}, .called = {2}};
  EXPECT_EQ(link_bytes(hlo_module("m", 1, {hlo_computation("main", 1, {parameter(1, {100}), call}), fused}), 8), 300);
  EXPECT_EQ(link_bytes(hlo_module("m", 1, {hlo_computation("main", 1, {parameter(1, {100}), sum, part})}), 8), 600);
}

}  // namespace
}  // namespace fathom
