#include "runtime/device_assignment.h"

#include <gmock/gmock.h>

#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<Device> devices(const std::vector<std::pair<int, int>>& ids_and_slices) {
  std::vector<Device> out;
  for (auto [id, slice] : ids_and_slices) {
    Device d;
    d.id = id;
    d.slice_index = slice;
    out.push_back(d);
  }
  return out;
}

std::vector<int> ids(const std::vector<const Device*>& list) {
  std::vector<int> out;
  for (const Device* d : list) out.push_back(d->id);
  return out;
}

TEST(DevicesBySlice, SeveralSlicesOfOneSizeComeOneAfterTheOther) {
  std::vector<Device> two = devices({{3, 0}, {4, 1}, {1, 0}, {2, 1}});
  EXPECT_THAT(ids(devices_by_slice(two, 2)), ElementsAre(1, 3, 2, 4));
  EXPECT_THAT(ids(devices_by_slice(two, 1)), ElementsAre(1, 2, 3, 4)) << "one slice by request, whatever they say";
}

TEST(DevicesBySlice, UnequalSlicesAreRefused) {
  std::vector<Device> three = devices({{0, 0}, {1, 0}, {2, 1}});
  EXPECT_THAT([&] { devices_by_slice(three, 2); },
              ThrowsMessage<PjrtError>(HasSubstr("slice 1 has 1 devices, slice 0 has 2")));
  EXPECT_THAT([&] { devices_by_slice(three, 3); },
              ThrowsMessage<PjrtError>(HasSubstr("made for 3 slices, the devices stand in 2")));
}

TEST(InMeshOrder, SlicesAreTheOuterPartOfTheirAxis) {
  Mesh mesh = {{{"data", 2}, {"fsdp", 4}}};
  std::vector<int> listed{10, 11, 12, 13, 20, 21, 22, 23};
  EXPECT_THAT(in_mesh_order(mesh, {}, listed), testing::ElementsAreArray(listed));
  EXPECT_THAT(in_mesh_order(mesh, {2, 1}, listed), testing::ElementsAreArray(listed));
  EXPECT_THAT(in_mesh_order(mesh, {1, 2}, listed), ElementsAre(10, 11, 20, 21, 12, 13, 22, 23));
}

}  // namespace
}  // namespace fathom
