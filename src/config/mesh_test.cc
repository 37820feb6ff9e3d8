#include "config/mesh.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::HasSubstr;

Config with_axes() {
  Config c;
  c.mesh_axes = {"diloco", "data", "stage", "fsdp", "tensor", "expert"};
  c.per_device_batch_size = 1;
  c.eval_per_device_batch_size = 1;
  c.logical_axis_rules = {{"activation_batch", {"data", "fsdp", "expert"}}};
  return c;
}

std::string message(const Config& c, int64_t devices, int64_t slices = 1) {
  try {
    check_batch_split(c, resolve_mesh(c, devices, slices));
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(ResolveMesh, HasNoAxesOnOneDevice) {
  DeviceMesh mesh = resolve_mesh(with_axes(), 1);
  EXPECT_TRUE(mesh.mesh.axes.empty());
  EXPECT_EQ(mesh.devices(), 1);
}

TEST(ResolveMesh, FillsTheOpenAxisWithWhatIsLeft) {
  Config c = with_axes();
  EXPECT_EQ(resolve_mesh(c, 4).mesh, (Mesh{{{"fsdp", 4}}}));
  c.ici_tensor_parallelism = 2;
  EXPECT_EQ(resolve_mesh(c, 4).mesh, (Mesh{{{"fsdp", 2}, {"tensor", 2}}}));
  c.ici_tensor_parallelism = 1;
  c.ici_expert_parallelism = 128;
  DeviceMesh mesh = resolve_mesh(c, 128);
  EXPECT_EQ(mesh.mesh, (Mesh{{{"expert", 128}}}));
  EXPECT_EQ(mesh.to_string(), "Num_devices: 128, shape (1, 1, 1, 1, 1, 128)");
}

TEST(ResolveMesh, MultipliesSlicesAndDevicesAlongAnAxis) {
  Config c = with_axes();
  DeviceMesh mesh = resolve_mesh(c, 8, 2);
  EXPECT_EQ(mesh.mesh, (Mesh{{{"data", 2}, {"fsdp", 4}}}));
  c.dcn_data_parallelism = 1;
  c.dcn_fsdp_parallelism = 2;
  EXPECT_EQ(resolve_mesh(c, 8, 2).mesh, (Mesh{{{"fsdp", 8}}}));
}

TEST(ResolveMesh, NamesTheKeysWhoseProductIsWrong) {
  Config c = with_axes();
  c.ici_fsdp_parallelism = 2;
  c.ici_tensor_parallelism = 2;
  EXPECT_THAT(message(c, 8), HasSubstr("ici_fsdp_parallelism=2 x ici_tensor_parallelism=2 = 4 does not equal the 8 "
                                       "devices"));
  c.ici_fsdp_parallelism = -1;
  c.ici_tensor_parallelism = 3;
  EXPECT_THAT(message(c, 8), HasSubstr("ici_tensor_parallelism=3 = 3 does not divide the 8 devices"));
}

TEST(ResolveMesh, AllowsOneOpenAxisInAGroup) {
  Config c = with_axes();
  c.ici_data_parallelism = -1;
  EXPECT_THAT(message(c, 4), HasSubstr("only one of the ici_* keys may be -1"));
  c.ici_data_parallelism = 0;
  EXPECT_THAT(message(c, 4), HasSubstr("ici_data_parallelism=0: must be at least 1, or -1"));
}

TEST(ResolveMesh, NeedsASplitAxisAmongMeshAxes) {
  Config c = with_axes();
  c.ici_context_parallelism = 2;
  EXPECT_THAT(message(c, 2), HasSubstr("ici_context_parallelism=2: mesh_axes has no axis 'context'"));
  c.mesh_axes = {"fsdp", "bogus"};
  EXPECT_THAT(message(c, 2), HasSubstr("'bogus' is not a mesh axis"));
}

TEST(ResolveMesh, ComparesNumSlicesWithTheMachine) {
  Config c = with_axes();
  c.num_slices = 2;
  EXPECT_THAT(message(c, 4), HasSubstr("num_slices=2, but the machine has 1"));
}

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

}  // namespace
}  // namespace fathom
