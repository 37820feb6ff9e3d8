#include "mesh/device_mesh.h"

#include <gmock/gmock.h>

#include "mesh/mesh_testing.h"

namespace fathom {
namespace {

using testing::HasSubstr;

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
  EXPECT_EQ(mesh.slices_along(), (std::vector<int64_t>{2, 1}));
  c.dcn_data_parallelism = 1;
  c.dcn_fsdp_parallelism = 2;
  mesh = resolve_mesh(c, 8, 2);
  EXPECT_EQ(mesh.mesh, (Mesh{{{"fsdp", 8}}}));
  EXPECT_EQ(mesh.slices_along(), (std::vector<int64_t>{2}));
}

TEST(ResolveMesh, NamesTheKeysWhoseProductIsWrong) {
  Config c = with_axes();
  c.ici_fsdp_parallelism = 2;
  c.ici_tensor_parallelism = 2;
  EXPECT_THAT(message(c, 8), HasSubstr("ici_fsdp_parallelism=2 x ici_tensor_parallelism=2 = 4 does not equal the 8 "
                                       "devices"));
  c.ici_fsdp_parallelism = -1;
  c.ici_tensor_parallelism = 3;
  EXPECT_THAT(message(c, 8), HasSubstr("ici_tensor_parallelism=3 does not divide the 8 devices"));
}

TEST(ResolveMesh, SaysHowTheCpuGetsAsManyDevices) {
  Config c = with_axes();
  c.ici_fsdp_parallelism = 2;
  EXPECT_THAT(message(c, 1), HasSubstr("ici_fsdp_parallelism=2 does not equal the one device: on the CPU "
                                       "cpu_device_count=2 makes that many"));
  c.hardware = Hardware::kTpu;
  EXPECT_THAT(message(c, 1), testing::Not(HasSubstr("cpu_device_count")));
}

TEST(ResolveMesh, SurvivesProductsThatNoMachineHas) {
  Config c = with_axes();
  for (auto size : {&Config::ici_data_parallelism, &Config::ici_fsdp_parallelism, &Config::ici_tensor_parallelism,
                    &Config::ici_expert_parallelism}) {
    c.*size = 1048576;
  }
  EXPECT_THAT(message(c, 1), HasSubstr("ici_expert_parallelism=1048576 does not equal the one device"));
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

}  // namespace
}  // namespace fathom
