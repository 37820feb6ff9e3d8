#include "mesh/batch_sizes.h"

#include <gmock/gmock.h>

#include "mesh/mesh_testing.h"

namespace fathom {
namespace {

using testing::HasSubstr;

TEST(ResolveBatch, CountsRowsOverDevicesAndMicroBatches) {
  Config c = with_axes();
  c.per_device_batch_size = 2;
  c.gradient_accumulation_steps = 3;
  BatchSizes batch = resolve_batch(c, 4);
  EXPECT_EQ(batch.micro, 8);
  EXPECT_EQ(batch.to_train, 24);
  EXPECT_EQ(batch.to_load, 24);
  EXPECT_EQ(batch.eval, 4);
}

TEST(ResolveBatch, TakesAFractionThatMakesWholeRows) {
  Config c = with_axes();
  c.per_device_batch_size = 0.5;
  c.ici_fsdp_parallelism = 1;
  c.ici_tensor_parallelism = 4;
  EXPECT_EQ(message(c, 4), "accepted");
  EXPECT_EQ(resolve_batch(c, 4).micro, 2);
}

TEST(ResolveBatch, RefusesPartsOfRowsAndRowsThatDoNotSplit) {
  Config c = with_axes();
  c.per_device_batch_size = 0.3;
  EXPECT_THAT(message(c, 1), HasSubstr("per_device_batch_size=0.3 x 1 devices = 0.3 rows"));
  c.per_device_batch_size = 0.5;
  EXPECT_THAT(message(c, 4), HasSubstr("= 2 rows cannot be split over fsdp=4"));
}

TEST(LengthSplit, NamesTheKeyAndWhatDivides) {
  Config c = with_axes();
  c.mesh_axes.emplace_back("context");
  c.logical_axis_rules.push_back({"activation_length", {"data", "context", "expert"}});
  c.ici_fsdp_parallelism = c.ici_expert_parallelism = 2;  // expert splits the rows
  c.ici_context_parallelism = 8;
  const DeviceMesh mesh = resolve_mesh(c, 32);
  auto says = [&](int64_t length) -> std::string {
    c.max_target_length = length;
    try {
      check_length_split(c, mesh);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(says(160), "");
  EXPECT_EQ(says(164),
            "max_target_length=164 cannot be split over context=8: it must be a multiple of 8, such as 160 or 168");
  EXPECT_THAT(says(3), testing::EndsWith("a multiple of 8, such as 8"));
}

TEST(ResolveBatch, RefusesMoreTokensThanAreCounted) {
  Config c = with_axes();
  c.max_target_length = 1 << 20;
  c.gradient_accumulation_steps = 2147483647;
  EXPECT_THAT(message(c, 1),
              HasSubstr("per_device_batch_size=1 x 1 devices x gradient_accumulation_steps=2147483647 x "
                        "max_target_length=1048576 = 2.252e+15 tokens a step: must be at most 2147483647"));
  c.gradient_accumulation_steps = 1;
  EXPECT_EQ(message(c, 1), "accepted");
  c.eval_per_device_batch_size = 4096;
  EXPECT_THAT(message(c, 1), HasSubstr("tokens an evaluation step"));
}

}  // namespace
}  // namespace fathom
