#include "runtime/mesh_slice.h"

#include <gmock/gmock.h>

#include <set>

#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

const Mesh kMesh = {{{"data", 2}, {"fsdp", 3}, {"tensor", 2}}};

TEST(MeshCoordinates, LastAxisIsFastest) {
  EXPECT_THAT(mesh_coordinates(kMesh, 0), ElementsAre(0, 0, 0));
  EXPECT_THAT(mesh_coordinates(kMesh, 1), ElementsAre(0, 0, 1));
  EXPECT_THAT(mesh_coordinates(kMesh, 11), ElementsAre(1, 2, 1));
  EXPECT_THAT(mesh_coordinates({}, 0), ElementsAre());
}

TEST(SliceAt, EachMeshAxisSplitsItsOwnAxis) {
  ArraySlice slice = slice_at({6, 4}, {{{"fsdp"}, {"tensor"}}}, kMesh, 3);  // data 0, fsdp 1, tensor 1
  EXPECT_THAT(slice.start, ElementsAre(2, 2));
  EXPECT_THAT(slice.sizes, ElementsAre(2, 2));
}

TEST(SliceAt, FirstOfSeveralMeshAxesIsOutermost) {
  std::vector<int64_t> starts, reversed;
  for (int64_t p = 0; p < 12; p += 2) {  // tensor 0: data, fsdp = 00 01 02 10 11 12
    starts.push_back(slice_at({12}, {{{"data", "fsdp"}}}, kMesh, p).start[0]);
    reversed.push_back(slice_at({12}, {{{"fsdp", "data"}}}, kMesh, p).start[0]);
  }
  EXPECT_THAT(starts, ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(reversed, ElementsAre(0, 4, 8, 2, 6, 10));
}

TEST(SliceAt, ReplicatedArrayIsWholeEverywhere) {
  for (const Sharding& sharding : {Sharding{}, Sharding{{{}, {}}}}) {
    EXPECT_EQ(slice_at({5, 7}, sharding, kMesh, 7), (ArraySlice{{0, 0}, {5, 7}}));
    EXPECT_EQ(count_slices(sharding, kMesh), 1);
  }
}

TEST(SliceAt, UnusedMeshAxesHoldTheSame) {
  std::set<ArraySlice> slices;
  for (int64_t p = 0; p < 12; ++p) slices.insert(slice_at({6, 4}, {{{"fsdp"}, {}}}, kMesh, p));
  EXPECT_EQ(slices.size(), 3U);
  EXPECT_EQ(count_slices({{{"fsdp"}, {}}}, kMesh), 3);
}

TEST(SliceAt, SlicesCoverTheArrayOnce) {
  Sharding sharding{{{"tensor", "data"}, {}, {"fsdp"}}};
  HostArray seen = HostArray::allocate(DType::kS32, {8, 2, 9});
  std::ranges::fill(seen.mutable_view<int32_t>(), 0);
  for (int64_t p = 0; p < 12; ++p) {
    SliceRuns runs(seen.sizes(), slice_at(seen.sizes(), sharding, kMesh, p));
    for_each_run(runs, 0, seen.elements(), [&](int64_t at, int64_t, int64_t count) {
      for (int64_t i = 0; i < count; ++i) ++seen.mutable_view<int32_t>()[static_cast<size_t>(at + i)];
    });
  }
  EXPECT_THAT(seen.view<int32_t>(), testing::Each(1));
}

TEST(SliceAt, MistakesAreNamed) {
  auto message = [](const std::vector<int64_t>& sizes, const Sharding& sharding, int64_t position) {
    return [=] { slice_at(sizes, sharding, kMesh, position); };
  };
  EXPECT_THAT(message({5, 4}, {{{"fsdp"}, {}}}, 0), ThrowsMessage<PjrtError>(HasSubstr("[5 4] cannot be split in 3")));
  EXPECT_THAT(message({6}, {{{"expert"}}}, 0), ThrowsMessage<PjrtError>(HasSubstr("'expert'")));
  EXPECT_THAT(message({6, 6}, {{{"fsdp"}, {"fsdp"}}}, 0), ThrowsMessage<PjrtError>(HasSubstr("'fsdp' twice")));
  EXPECT_THAT(message({6, 6}, {{{"fsdp"}}}, 0), ThrowsMessage<PjrtError>(HasSubstr("sharding of 1 axes")));
  EXPECT_THAT(message({6}, {}, 12), ThrowsMessage<PjrtError>(HasSubstr("position 12")));
}

}  // namespace
}  // namespace fathom
