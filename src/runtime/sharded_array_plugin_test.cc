// Arrays over four virtual devices, also as two processes of two devices each would see them.
#include <gmock/gmock.h>

#include <cstring>
#include <numeric>
#include <set>

#include "runtime/sharded_array.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::ThrowsMessage;

const Mesh kFsdp = {{{"fsdp", 4}}};
const Mesh kSquare = {{{"fsdp", 2}, {"tensor", 2}}};
const Sharding kRows = {{{"fsdp"}, {}}};

// x [8 4] split over fsdp x tensor, w [4 4] over tensor; x . w replicated's sum, and x doubled in the memory of x.
constexpr const char* kProgram = R"(
module @step attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
  sdy.mesh @mesh = <["fsdp"=2, "tensor"=2]>
  func.func public @main(
      %x: tensor<8x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"fsdp"}, {"tensor"}]>, tf.aliasing_output = 1 : i32},
      %w: tensor<4x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tensor"}, {}]>})
      -> (tensor<f32> {sdy.sharding = #sdy.sharding<@mesh, []>},
          tensor<8x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"fsdp"}, {"tensor"}]>}) {
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
    %0 = stablehlo.reduce(%y init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x4xf32>, tensor<f32>) -> tensor<f32>
    %1 = stablehlo.add %x, %x : tensor<8x4xf32>
    return %0, %1 : tensor<f32>, tensor<8x4xf32>
  }
})";

Signature signature_of_program() {
  TensorType matrix{DType::kF32, {{"b", 8}, {"d", 4}}};
  return {.args = {{.name = "x", .type = matrix, .sharding = {{{"fsdp"}, {"tensor"}}}, .donated_to = 1},
                   {.name = "w", .type = {DType::kF32, {{"d", 4}, {"e", 4}}}, .sharding = {{{"tensor"}, {}}}}},
          .results = {{.name = "sum", .type = {DType::kF32, {}}},
                      {.name = "doubled", .type = matrix, .sharding = {{{"fsdp"}, {"tensor"}}}}},
          .mesh = kSquare};
}

HostArray iota(std::vector<int64_t> sizes) {
  HostArray out = HostArray::allocate(DType::kF32, std::move(sizes));
  auto view = out.mutable_view<float>();
  std::iota(view.begin(), view.end(), 0.0F);
  return out;
}

std::vector<float> floats(const HostArray& array) {
  auto view = array.view<float>();
  return {view.begin(), view.end()};
}

class ShardedArrayTest : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const DeviceAssignment> assignment(const Mesh& mesh,
                                                     std::optional<std::vector<int>> addressable = {}) {
    return DeviceAssignment::create(client_, mesh, {.addressable = std::move(addressable)});
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam(), 4);
};

INSTANTIATE_TEST_SUITE_P(Cpu, ShardedArrayTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(ShardedArrayTest, DevicesStandInTheMeshByTheirId) {
  auto all = assignment(kSquare);
  EXPECT_THAT(all->device_ids(), ElementsAre(0, 1, 2, 3));
  EXPECT_TRUE(all->all_addressable());
  EXPECT_EQ(client_->process_count(), 1);
  EXPECT_EQ(client_->slice_count(), 1);
  EXPECT_THAT(DeviceAssignment::first_device(client_)->device_ids(), ElementsAre(0));
  EXPECT_THAT(
      [&] {
        assignment({{{"fsdp", 3}}});
      },
      ThrowsMessage<PjrtError>(HasSubstr("a mesh of 3 devices for the 4 devices")));
  EXPECT_THAT([&] { assignment(kFsdp, std::vector<int>{}); }, ThrowsMessage<PjrtError>(HasSubstr("no device of this")));
}

TEST_P(ShardedArrayTest, EveryDeviceHoldsItsSlice) {
  ShardedArray array = ShardedArray::from_host(assignment(kFsdp), iota({8, 3}), kRows);
  ASSERT_EQ(array.shards().size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(array.shards()[i].device().id, static_cast<int>(i));
    EXPECT_THAT(array.shards()[i].sizes(), ElementsAre(2, 3));
    EXPECT_EQ(floats(array.shards()[i].to_host())[0], static_cast<float>(6 * i));
  }
  EXPECT_THAT(floats(array.to_host()), ElementsAreArray(floats(iota({8, 3}))));
}

TEST_P(ShardedArrayTest, WholeArrayComesBackFromAnySharding) {
  HostArray whole = iota({8, 4});
  for (const Sharding& sharding :
       {Sharding{}, Sharding{{{}, {}}}, Sharding{{{"fsdp"}, {"tensor"}}}, Sharding{{{"tensor", "fsdp"}, {}}},
        Sharding{{{}, {"fsdp", "tensor"}}}, Sharding{{{}, {"tensor"}}}}) {
    ShardedArray array = ShardedArray::from_host(assignment(kSquare), whole, sharding);
    EXPECT_TRUE(array.complete());
    EXPECT_THAT(floats(array.to_host()), ElementsAreArray(floats(whole)));
  }
}

TEST_P(ShardedArrayTest, OneSliceIsMadeForAllItsHolders) {
  std::vector<ArraySlice> made;
  auto make = [&](const ArraySlice& slice) {
    made.push_back(slice);
    return cut(iota({8, 4}), slice);
  };
  ShardedArray array = ShardedArray::from_slices(assignment(kSquare), {DType::kF32, {8, 4}, {{{"fsdp"}, {}}}}, make);
  EXPECT_THAT(made, ElementsAre(ArraySlice{{0, 0}, {4, 4}}, ArraySlice{{4, 0}, {4, 4}}));
  EXPECT_THAT(floats(array.to_host()), ElementsAreArray(floats(iota({8, 4}))));
  auto wrong = [](const ArraySlice&) { return iota({3}); };
  EXPECT_THAT(
      [&] {
        ShardedArray::from_slices(assignment(kSquare), {DType::kF32, {8, 4}, {{{"fsdp"}, {}}}}, wrong);
      },
      ThrowsMessage<PjrtError>(HasSubstr("float32[4 4] was made as float32[3]")));
}

TEST_P(ShardedArrayTest, ViewsAreNotCopiedOnTheCpu) {
  HostArray whole = iota({8, 16});  // a row is 64 bytes
  ShardedArray array = ShardedArray::from_host(assignment(kFsdp), whole, kRows, HostMemory::kZeroCopy);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(array.shards()[i].device_pointer(), whole.data() + i * 2 * 64);
  }
}

TEST_P(ShardedArrayTest, AProcessMakesOnlyItsOwnSlices) {
  auto second = assignment(kFsdp, std::vector<int>{2, 3});
  EXPECT_FALSE(second->all_addressable());
  std::set<ArraySlice> made;
  auto make = [&](const ArraySlice& slice) {
    made.insert(slice);
    return cut(iota({8, 3}), slice);
  };
  ShardedArray array = ShardedArray::from_slices(second, {DType::kF32, {8, 3}, kRows}, make);
  EXPECT_THAT(made, ElementsAre(ArraySlice{{4, 0}, {2, 3}}, ArraySlice{{6, 0}, {2, 3}}));
  ASSERT_EQ(array.shards().size(), 2U);
  EXPECT_EQ(array.shards()[0].device().id, 2);
  EXPECT_FALSE(array.complete());
  EXPECT_THAT([&] { array.to_host(); }, ThrowsMessage<PjrtError>(HasSubstr("devices of other processes")));
  EXPECT_THAT(floats(array.first_shard_async().array).size(), 6U);
}

TEST_P(ShardedArrayTest, AProcessFetchesWhatItsDevicesHoldTogether) {
  auto second = assignment(kSquare, std::vector<int>{2, 3});  // fsdp 1, tensor 0 and 1
  ShardedArray replicated = ShardedArray::from_host(second, iota({8, 4}));
  EXPECT_THAT(floats(replicated.to_host()), ElementsAreArray(floats(iota({8, 4}))));
  ShardedArray columns = ShardedArray::from_host(second, iota({8, 4}), {{{}, {"tensor"}}});
  EXPECT_THAT(floats(columns.to_host()), ElementsAreArray(floats(iota({8, 4}))));
  ShardedArray rows = ShardedArray::from_host(second, iota({8, 4}), {{{"fsdp"}, {}}});
  EXPECT_FALSE(rows.complete());
}

TEST_P(ShardedArrayTest, ProgramRunsOnArraysAndTakesOverWhatIsDonated) {
  auto all = assignment(kSquare);
  Executable program = Executable::compile(client_, kProgram, {.device_ids = all->device_ids()});
  Signature signature = signature_of_program();
  ShardedArray x = ShardedArray::from_host(all, iota({8, 4}), {{{"fsdp"}, {"tensor"}}});
  ShardedArray w = ShardedArray::from_host(all, iota({4, 4}), {{{"tensor"}, {}}});
  for (int scale = 1; scale <= 2; ++scale) {
    ShardedExecution run = execute(program, signature, all, {&x, &w});
    EXPECT_TRUE(x.empty());
    EXPECT_FALSE(w.empty());
    // Column sums of x are 112, 120, 128, 136; row sums of w are 6, 22, 38, 54.
    EXPECT_THAT(floats(run.results[0].to_host()), ElementsAre(15520.0F * static_cast<float>(scale)));
    x = std::move(run.results[1]);
    EXPECT_EQ(floats(x.to_host())[31], 62.0F * static_cast<float>(scale));
  }
}

// Every slice once, whoever holds it, and all in one call.
TEST_P(ShardedArrayTest, SlicesAreFilledForAllTheirHolders) {
  const HostArray whole = iota({8, 4});
  std::vector<ArraySlice> asked;
  auto fill = [&](std::span<const SliceMemory> slices) {
    for (const auto& [slice, data] : slices) {
      const HostArray part = cut(whole, slice);
      std::memcpy(data, part.data(), static_cast<size_t>(part.bytes()));
      asked.push_back(slice);
    }
  };
  const ArrayLayout rows{DType::kF32, {8, 4}, {{{"fsdp"}, {}}}};
  ShardedArray array = ShardedArray::filled(assignment(kSquare), rows, fill);
  EXPECT_THAT(asked, ElementsAre(ArraySlice{{0, 0}, {4, 4}}, ArraySlice{{4, 0}, {4, 4}}));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(floats(array.shards()[i].to_host()), floats(cut(whole, array.slice(i)))) << i;
  }
  asked.clear();
  ShardedArray own = ShardedArray::filled(assignment(kSquare, std::vector<int>{2, 3}), rows, fill);
  EXPECT_THAT(asked, ElementsAre(ArraySlice{{4, 0}, {4, 4}}));
  auto fault = [](std::span<const SliceMemory>) { throw std::runtime_error("a broken file"); };
  EXPECT_THAT([&] { ShardedArray::filled(assignment(kSquare), rows, fault); },
              ThrowsMessage<std::runtime_error>("a broken file"));
}

// A step donates the parameters: what was filled in place must be memory that it can take over.
TEST_P(ShardedArrayTest, FilledMemoryCanBeDonated) {
  auto all = assignment(kSquare);
  Executable program = Executable::compile(client_, kProgram, {.device_ids = all->device_ids()});
  const Signature signature = signature_of_program();
  const void* filled_at = nullptr;
  const HostArray whole = iota({8, 4});
  auto fill = [&](std::span<const SliceMemory> slices) {
    filled_at = slices[0].data;
    for (const auto& [slice, data] : slices) {
      const HostArray part = cut(whole, slice);
      std::memcpy(data, part.data(), static_cast<size_t>(part.bytes()));
    }
  };
  ShardedArray x = ShardedArray::filled(all, {DType::kF32, {8, 4}, {{{"fsdp"}, {"tensor"}}}}, fill);
  ShardedArray w = ShardedArray::from_host(all, iota({4, 4}), {{{"tensor"}, {}}});
  const bool in_place = x.shards()[0].device_pointer() == filled_at;
  ShardedExecution run = execute(program, signature, all, {&x, &w});
  EXPECT_EQ(floats(run.results[1].to_host())[31], 62.0F);
  EXPECT_EQ(run.results[1].shards()[0].device_pointer() == filled_at, in_place);
}

TEST_P(ShardedArrayTest, ArgumentsThatDoNotFitAreNamed) {
  auto all = assignment(kSquare);
  Executable program = Executable::compile(client_, kProgram, {.device_ids = all->device_ids()});
  Signature signature = signature_of_program();
  ShardedArray x = ShardedArray::from_host(all, iota({8, 4}), {{{"fsdp"}, {"tensor"}}});
  ShardedArray w = ShardedArray::from_host(all, iota({4, 4}));
  ShardedArray none;
  EXPECT_THAT([&] { execute(program, signature, all, {&x}); }, ThrowsMessage<PjrtError>(HasSubstr("takes 2")));
  EXPECT_THAT(
      [&] {
        execute(program, signature, all, {&x, &none});
      },
      ThrowsMessage<PjrtError>(HasSubstr("argument 1 (w) is empty")));
  EXPECT_THAT(
      [&] {
        execute(program, signature, all, {&x, &w});
      },
      ThrowsMessage<PjrtError>(HasSubstr("argument 1 (w) must be float32[4 4] over (tensor, -), not float32[4 4]")));
  auto half = assignment(kSquare, std::vector<int>{0, 1});
  ShardedArray part = ShardedArray::from_host(half, iota({8, 4}), {{{"fsdp"}, {"tensor"}}});
  ShardedArray part_w = ShardedArray::from_host(half, iota({4, 4}), {{{"tensor"}, {}}});
  EXPECT_THAT(
      [&] {
        execute(program, signature, half, {&part, &part_w});
      },
      ThrowsMessage<PjrtError>(HasSubstr("runs on device 2")));
  EXPECT_FALSE(x.empty());
}

// What two processes make, put together, is what one process makes: the plugin then runs the joint program, as it would
// on two machines.
TEST_P(ShardedArrayTest, TwoProcessesMakeTheArraysOfOneProgram) {
  auto all = assignment(kSquare);
  std::shared_ptr<const DeviceAssignment> processes[] = {assignment(kSquare, std::vector<int>{0, 1}),
                                                         assignment(kSquare, std::vector<int>{2, 3})};
  Signature signature = signature_of_program();
  std::vector<std::vector<int64_t>> sizes = {{8, 4}, {4, 4}};
  std::vector<ShardedArray> joined;
  for (size_t i = 0; i < 2; ++i) {
    ArrayLayout layout = layout_of(signature.args[i]);
    std::vector<Buffer> shards;
    for (const auto& process : processes) {
      ShardedArray part = ShardedArray::from_slices(
          process, layout, [&](const ArraySlice& slice) { return cut(iota(sizes[i]), slice); });
      for (Buffer& shard : part.shards()) shards.push_back(std::move(shard));
    }
    joined.emplace_back(all, layout, std::move(shards));
  }
  Executable program = Executable::compile(client_, kProgram, {.device_ids = all->device_ids()});
  ShardedExecution run = execute(program, signature, all, {&joined[0], &joined[1]});
  EXPECT_THAT(floats(run.results[0].to_host()), ElementsAre(15520));
  // Each process sees the replicated sum on a device of its own, and its part of the rest.
  for (const auto& process : processes) {
    std::vector<Buffer> own;
    size_t first = static_cast<size_t>(process->addressable()[0].position);
    for (size_t i = 0; i < 2; ++i) own.push_back(std::move(run.results[0].shards()[first + i]));
    ShardedArray sum(process, layout_of(signature.results[0]), std::move(own));
    EXPECT_THAT(floats(sum.to_host()), ElementsAre(15520));
  }
}

TEST_P(ShardedArrayTest, OtherNumbersOfBuffersAreRefused) {
  EXPECT_THAT(
      [&] {
        ShardedArray(assignment(kSquare), {DType::kF32, {8}, {}}, {});
      },
      ThrowsMessage<PjrtError>(HasSubstr("0 buffers for the 4 devices")));
}

// ---- the order of devices in slices ----

TEST(PlaceInSlices, OuterPartOfEachAxisIsTheSlice) {
  Mesh mesh = {{{"data", 2}, {"fsdp", 4}}};
  auto list = [&](const std::vector<int64_t>& slices) {
    std::vector<std::pair<int64_t, int64_t>> out;
    for (int64_t p = 0; p < 8; ++p) {
      SlicePlace at = place_in_slices(mesh, slices, p);
      out.emplace_back(at.slice, at.place);
    }
    return out;
  };
  using P = std::pair<int64_t, int64_t>;
  EXPECT_THAT(list({}), ElementsAre(P{0, 0}, P{0, 1}, P{0, 2}, P{0, 3}, P{0, 4}, P{0, 5}, P{0, 6}, P{0, 7}));
  EXPECT_THAT(list({2, 1}), ElementsAre(P{0, 0}, P{0, 1}, P{0, 2}, P{0, 3}, P{1, 0}, P{1, 1}, P{1, 2}, P{1, 3}));
  EXPECT_THAT(list({1, 2}), ElementsAre(P{0, 0}, P{0, 1}, P{1, 0}, P{1, 1}, P{0, 2}, P{0, 3}, P{1, 2}, P{1, 3}));
}

}  // namespace
}  // namespace fathom
