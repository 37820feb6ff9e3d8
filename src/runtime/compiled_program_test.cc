#include "runtime/compiled_program.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace fathom
