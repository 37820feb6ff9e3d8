#include "runtime/donation.h"

#include <gmock/gmock.h>

#include "base/proto_wire.h"

namespace fathom {
namespace {

TEST(DonatedBytes, CountsOneDevicesShareOfDonatedArgumentsOnly) {
  Signature signature;
  signature.mesh = {{{"fsdp", 4}, {"tensor", 2}}};
  signature.args = {
      {.name = "kept", .type = {DType::kF32, {{"d", 100}}}},
      {.name = "replicated", .type = {DType::kBF16, {{"d", 10}}}, .donated_to = 0},
      // 10 rows on 4 devices are padded to 3 each, 6 columns on 2 are 3 each.
      {.name = "split",
       .type = {DType::kF32, {{"d", 10}, {"f", 6}}},
       .sharding = {{{"fsdp"}, {"tensor"}}},
       .donated_to = 1},
      {.name = "both",
       .type = {DType::kS32, {{"d", 16}, {"f", 3}}},
       .sharding = {{{"fsdp", "tensor"}, {}}},
       .donated_to = 2},
  };
  EXPECT_EQ(donated_bytes(signature), 20 + 3 * 3 * 4 + 2 * 3 * 4);
}

// HloInputOutputAliasProto.AliasEntryProto: {output index} is argument `argument`.
std::string entry(const std::vector<int64_t>& output, int64_t argument) {
  return ProtoWriter().varints(1, output).varint(2, argument).varint(4, 1).str();
}

TEST(MemoryAliases, AreReadFromTheModuleInItsOrder) {
  std::string list = ProtoWriter().bytes(1, entry({2}, 0)).bytes(1, entry({0}, 5)).str();
  std::string module = ProtoWriter().bytes(1, "step").varint(5, 3).bytes(8, list).bytes(9, "later").str();
  EXPECT_EQ(memory_aliases(module), (std::vector<MemoryAlias>{{0, 2}, {5, 0}}));
  // A single result is no tuple, and a field that is zero is not written.
  std::string only = ProtoWriter().bytes(8, ProtoWriter().bytes(1, ProtoWriter().varint(4, 1).str()).str()).str();
  EXPECT_EQ(memory_aliases(only), (std::vector<MemoryAlias>{{0, 0}}));
  EXPECT_TRUE(memory_aliases(ProtoWriter().bytes(1, "step").str()).empty());
}

TEST(DonationFault, ComparesEveryArgumentWithItsResult) {
  TensorType type{DType::kF32, {{"d", 8}}};
  Signature s{.args = {{.name = "w", .type = type, .donated_to = 1},
                       {.name = "mu", .type = type, .donated_to = 0},
                       {.name = "tokens", .type = type}},
              .results = {{.name = "mu", .type = type}, {.name = "w", .type = type}},
              .mesh = {}};
  EXPECT_EQ(donation_fault(s, {{0, 1}, {1, 0}}), "");
  EXPECT_EQ(donation_fault(s, {{0, 1}}), "'mu' is taken over by no result instead of 'mu'");
  EXPECT_EQ(donation_fault(s, {{0, 0}, {1, 1}}),
            "'w' is taken over by 'mu' instead of 'w', 'mu' is taken over by 'w' instead of 'mu'")
      << "of the same size, so that bytes do not tell";
  EXPECT_EQ(donation_fault(s, {{0, 1}, {1, 0}, {2, 0}}), "'tokens' is taken over by 'mu' instead of no result");
}

}  // namespace
}  // namespace fathom
