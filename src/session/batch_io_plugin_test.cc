#include <gmock/gmock.h>

#include <numeric>

#include "runtime/plugin_search.h"
#include "session/batch_io.h"

namespace fathom {
namespace {

constexpr int64_t kRows = 8;
constexpr int64_t kLength = 8;

std::shared_ptr<const Client> eight_devices() {
  static auto client =
      Client::create(Plugin::load(find_plugin("", Hardware::kCpu)), ClientOptions{.cpu_device_count = 8});
  return client;
}

// The devices of one of two or more pretended processes.
ShardedArray::Assignment process(const Mesh& mesh, std::vector<int> ids) {
  return DeviceAssignment::create(eight_devices(), mesh, {.slices = {}, .addressable = std::move(ids)});
}

ArgSpec rows_over(std::vector<std::string> axes, std::vector<std::string> places = {}) {
  return {.name = "inputs",
          .type = {DType::kS32, {{"b", kRows}, {"s", kLength}}},
          .sharding = {{std::move(axes), std::move(places)}},
          .donated_to = {}};
}

void expect_share(const RowShare& share, int64_t first, int64_t rows, int index, int count) {
  EXPECT_EQ(share.first, first);
  EXPECT_EQ(share.rows, rows);
  EXPECT_EQ(share.index, index);
  EXPECT_EQ(share.count, count);
}

TEST(RowShare, EachProcessReadsTheRowsOfItsDevicesAlone) {
  const Mesh mesh{{{"data", 2}, {"fsdp", 4}}};
  const ArgSpec batch = rows_over({"data", "fsdp"});
  expect_share(row_share(*process(mesh, {0, 1, 2, 3}), batch), 0, 4, 0, 2);
  expect_share(row_share(*process(mesh, {4, 5, 6, 7}), batch), 4, 4, 1, 2);
  expect_share(row_share(*process(mesh, {6, 7}), batch), 6, 2, 3, 4);
}

// Devices that split heads, or places, share their rows: so do processes that hold only those.
TEST(RowShare, ProcessesThatHoldTheSameRowsHaveTheSameShare) {
  const Mesh mesh{{{"fsdp", 2}, {"tensor", 4}}};
  for (const std::vector<int>& ids : {std::vector<int>{0, 1}, {2, 3}}) {
    expect_share(row_share(*process(mesh, ids), rows_over({"fsdp"})), 0, 4, 0, 2);
  }
  expect_share(row_share(*process(mesh, {4, 5}), rows_over({"fsdp"}, {"tensor"})), 4, 4, 1, 2);
}

TEST(RowShare, ScatteredRowsAreReadWhole) {
  const Mesh mesh{{{"fsdp", 8}}};
  expect_share(row_share(*process(mesh, {0, 4}), rows_over({"fsdp"})), 0, kRows, 0, 1);
}

TEST(RowShare, OneProcessReadsAll) {
  const Mesh mesh{{{"fsdp", 8}}};
  expect_share(row_share(*DeviceAssignment::create(eight_devices(), mesh), rows_over({"fsdp"})), 0, kRows, 0, 1);
}

// Numbers from `first`, row-major.
HostArray counted(int64_t rows, int32_t first) {
  HostArray out = HostArray::allocate(DType::kS32, {rows, kLength});
  auto numbers = out.mutable_view<int32_t>();
  std::iota(numbers.begin(), numbers.end(), first);
  return out;
}

TEST(UploadBatch, TheSharesOfTwoProcessesAreTheWholeBatch) {
  const Mesh mesh{{{"fsdp", 4}, {"context", 2}}};
  Signature signature{.args = {}, .results = {}, .mesh = mesh};
  for (const auto& field : BatchFields<HostArray>::fields()) {
    signature.args.push_back(rows_over({"fsdp"}, {"context"}));
    signature.args.back().name = field.name;
  }
  const HostArray whole = counted(kRows, 0);
  for (int p : {0, 1}) {
    auto own = process(mesh, p == 0 ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{4, 5, 6, 7});
    const RowShare share = row_share(*own, signature.args[0]);
    BatchFields<HostArray> batch;
    for (const auto& field : batch.fields()) {
      batch.*field.member = counted(share.rows, static_cast<int32_t>(share.first * kLength));
    }
    NamedArrays arrays = upload_batch(own, signature, batch, share);
    ASSERT_EQ(arrays.size(), signature.args.size());
    ShardedArray& inputs = arrays.at("inputs");
    for (size_t i = 0; i < inputs.shards().size(); ++i) {
      HostArray got = inputs.shards()[i].to_host(), want = cut(whole, inputs.slice(i));
      EXPECT_THAT(got.view<int32_t>(), testing::ElementsAreArray(want.view<int32_t>()));
    }
  }
}

TEST(UploadForDevices, EachProcessSaysItsOwnNumber) {
  const Mesh mesh{{{"fsdp", 4}, {"tensor", 2}}};
  ArgSpec stop{
      .name = "stop", .type = {DType::kS32, {{"device", 8}}}, .sharding = {{{"fsdp", "tensor"}}}, .donated_to = {}};
  ShardedArray out = upload_for_devices(process(mesh, {2, 3}), stop, 15);
  ASSERT_EQ(out.shards().size(), 2u);
  for (Buffer& shard : out.shards()) EXPECT_THAT(shard.to_host().view<int32_t>(), testing::ElementsAre(15));
}

}  // namespace
}  // namespace fathom
