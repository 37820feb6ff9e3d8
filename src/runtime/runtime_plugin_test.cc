// Clients, buffers and executables on both CPU plugins.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "runtime/donation.h"
#include "runtime/executable.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr const char* kProduct = R"(
module @product attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%a: tensor<2x3xf32>, %b: tensor<3x2xf32>) -> tensor<2x2xf32> {
    %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0] : (tensor<2x3xf32>, tensor<3x2xf32>) -> tensor<2x2xf32>
    return %0 : tensor<2x2xf32>
  }
})";

// x + y where the sum may take over the memory of x.
constexpr const char* kDonatingSum = R"(
module @sum attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%x: tensor<256xf32> {tf.aliasing_output = 0 : i32}, %y: tensor<256xf32>) -> (tensor<256xf32>, tensor<256xf32>) {
    %0 = stablehlo.add %x, %y : tensor<256xf32>
    %1 = stablehlo.multiply %x, %y : tensor<256xf32>
    return %0, %1 : tensor<256xf32>, tensor<256xf32>
  }
})";

// Each of four devices holds two rows; the result is the sum over all eight, on every device, and the rows doubled.
constexpr const char* kSharded = R"(
module @sharded attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
  sdy.mesh @mesh = <["fsdp"=4]>
  func.func public @main(%x: tensor<8x3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"fsdp"}, {}]>})
      -> (tensor<3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>},
          tensor<8x3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"fsdp"}, {}]>}) {
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %0 = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8x3xf32>, tensor<f32>) -> tensor<3xf32>
    %1 = stablehlo.add %x, %x : tensor<8x3xf32>
    return %0, %1 : tensor<3xf32>, tensor<8x3xf32>
  }
})";

HostArray iota(std::vector<int64_t> sizes, float first = 0) {
  HostArray out = HostArray::allocate(DType::kF32, std::move(sizes));
  auto view = out.mutable_view<float>();
  std::iota(view.begin(), view.end(), first);
  return out;
}

std::vector<float> floats(const Buffer& buffer) {
  HostArray array = buffer.to_host();
  auto view = array.view<float>();
  return {view.begin(), view.end()};
}

class RuntimeTest : public testing::TestWithParam<std::string> {
 protected:
  const Device& first_device() { return *client_->addressable_devices().front(); }
  Buffer on_device(const HostArray& array, HostMemory memory = HostMemory::kCopy) {
    return Buffer::from_host(client_, array, first_device(), memory);
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Cpu, RuntimeTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(RuntimeTest, LoadingAgainGivesTheSamePlugin) {
  const Plugin& plugin = client_->plugin();
  EXPECT_EQ(&Plugin::load(plugin.path()), &plugin);
  EXPECT_THAT(plugin.description(), testing::ContainsRegex("^PJRT 0\\.[0-9]+, stablehlo 1\\.[0-9]+\\.[0-9]+$"));
  EXPECT_THAT(plugin.fingerprint(), HasSubstr(plugin.path()));
}

// An upgrade may replace the file while a run goes on; the compile cache asks for the fingerprint then.
TEST_P(RuntimeTest, APluginWhoseFileIsGoneKeepsItsFingerprint) {
  namespace fs = std::filesystem;
  TemporaryFolder folder;
  const std::string copy = folder / "plugin.so";
  fs::copy_file(client_->plugin().path(), copy);
  const Plugin& plugin = Plugin::load(copy);
  const std::string before = plugin.fingerprint();
  fs::remove(copy);
  EXPECT_EQ(plugin.fingerprint(), before);
}

TEST_P(RuntimeTest, ClientListsItsDevices) {
  EXPECT_EQ(client_->platform(), "cpu");
  EXPECT_TRUE(client_->is_cpu());
  EXPECT_EQ(client_->process_index(), 0);
  ASSERT_EQ(client_->devices().size(), 1U);
  auto four = cpu_client(GetParam(), 4);
  ASSERT_EQ(four->addressable_devices().size(), 4U);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(four->devices()[static_cast<size_t>(i)].id, i);
    EXPECT_EQ(four->devices()[static_cast<size_t>(i)].process_index, 0);
  }
}

int threads_of_this_process() {
  auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

// With a thread a device, or a core, all of them can wait in collectives for devices that have none left.
TEST_P(RuntimeTest, DevicesHaveThreadsToWaitIn) {
  const int before = threads_of_this_process();
  auto eight = cpu_client(GetParam(), 8);
  EXPECT_GE(threads_of_this_process() - before, 4 * 8);
  EXPECT_EQ(std::getenv("PJRT_NPROC"), nullptr);
  setenv("PJRT_NPROC", "3", 1);
  const int between = threads_of_this_process();
  auto as_said = cpu_client(GetParam(), 8);
  EXPECT_LT(threads_of_this_process() - between, 4 * 8);
  EXPECT_STREQ(std::getenv("PJRT_NPROC"), "3");
  unsetenv("PJRT_NPROC");
}

// Only allocators with books of their own tell it: a GPU's (tests/gpu), not the CPU's.
TEST_P(RuntimeTest, MemoryIsNothingWhereThePluginHasNone) {
  EXPECT_EQ(client_->memory_limit(first_device()), std::nullopt);
  EXPECT_EQ(client_->peak_memory(first_device()), std::nullopt);
}

TEST_P(RuntimeTest, NoDevicesAreRefused) {
  EXPECT_THAT([&] { cpu_client(GetParam(), 0); }, ThrowsMessage<ConfigError>(HasSubstr("cpu_device_count=0")));
}

TEST_P(RuntimeTest, ProductIsRight) {
  Executable product = Executable::compile(client_, kProduct, {});
  Buffer a = on_device(iota({2, 3}));
  Buffer b = on_device(iota({3, 2}, 1));
  Execution run = product.execute({&a, &b});
  run.done.await();
  EXPECT_TRUE(run.done.is_ready());
  const Buffer& c = run.outputs[0][0];
  EXPECT_EQ(c.dtype(), DType::kF32);
  EXPECT_EQ(c.device().id, 0);
  EXPECT_THAT(c.sizes(), ElementsAre(2, 2));
  // [0 1 2; 3 4 5] . [1 2; 3 4; 5 6]
  EXPECT_THAT(floats(c), ElementsAre(13, 16, 40, 52));
  EXPECT_FALSE(a.empty());
}

TEST_P(RuntimeTest, EveryElementTypeGoesThereAndBack) {
  for (DType dtype :
       {DType::kBool, DType::kS8, DType::kS16, DType::kS32, DType::kS64, DType::kU8, DType::kU16, DType::kU32,
        DType::kU64, DType::kF8E4M3FN, DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    HostArray array = HostArray::allocate(dtype, {3, 5});
    for (int64_t i = 0; i < array.bytes(); ++i) array.mutable_data()[i] = std::byte(i % 2);
    Buffer buffer = on_device(array);
    EXPECT_EQ(buffer.dtype(), dtype);
    HostArray back = buffer.to_host();
    EXPECT_EQ(back.dtype(), dtype);
    EXPECT_EQ(std::memcmp(back.data(), array.data(), static_cast<size_t>(array.bytes())), 0) << name(dtype);
  }
}

TEST_P(RuntimeTest, EmptyArraysAndScalarsAreArrays) {
  Buffer none = on_device(HostArray(DType::kF32, {0, 4}, nullptr, nullptr));
  EXPECT_THAT(none.to_host().sizes(), ElementsAre(0, 4));
  EXPECT_THAT(floats(on_device(iota({}, 7))), ElementsAre(7));
}

TEST_P(RuntimeTest, ZeroCopyReadsTheHostArrayInPlace) {
  HostArray array = iota({1 << 16});
  Buffer view = on_device(array, HostMemory::kZeroCopy);
  EXPECT_TRUE(view.zero_copy());
  EXPECT_EQ(view.device_pointer(), array.data());
  Buffer copy = on_device(array);
  EXPECT_FALSE(copy.zero_copy());
  copy.ready_event().await();
  EXPECT_NE(copy.device_pointer(), array.data());
}

TEST_P(RuntimeTest, MisalignedArrayIsCopied) {
  HostArray array = iota({1024});
  HostArray shifted(DType::kF32, {1023}, array.data() + 4, array.owner());
  Buffer buffer = on_device(shifted, HostMemory::kZeroCopy);
  EXPECT_FALSE(buffer.zero_copy());
  EXPECT_NE(buffer.device_pointer(), shifted.data());
  EXPECT_EQ(floats(buffer)[1022], 1023);
}

TEST_P(RuntimeTest, HostMemoryLivesAsLongAsTheZeroCopyBuffer) {
  auto freed = std::make_shared<std::atomic<bool>>(false);
  HostArray array = iota({1 << 16});
  std::shared_ptr<const void> owner(array.data(), [freed, inner = array.owner()](const void*) { *freed = true; });
  array = HostArray(DType::kF32, array.sizes(), array.data(), std::move(owner));
  Buffer buffer = on_device(array, HostMemory::kZeroCopy);
  array = HostArray();
  EXPECT_FALSE(*freed);
  EXPECT_EQ(floats(buffer)[65535], 65535);
  EXPECT_FALSE(*freed);
  buffer = Buffer();
  // The plugin may let go in a thread of its own, when the transfer above has wound up.
  while (!*freed) std::this_thread::yield();
}

TEST_P(RuntimeTest, AsynchronousCopyOutlivesTheBufferAndItself) {
  Buffer buffer = on_device(iota({1 << 20}));
  HostCopy copy = buffer.to_host_async();
  { HostCopy dropped = buffer.to_host_async(); }
  buffer = Buffer();
  copy.done.await();
  EXPECT_EQ(copy.array.view<float>()[(1 << 20) - 1], (1 << 20) - 1);
}

TEST_P(RuntimeTest, CallbackOfAnEventRunsOnce) {
  Executable product = Executable::compile(client_, kProduct, {});
  Buffer a = on_device(iota({2, 3}));
  Buffer b = on_device(iota({3, 2}));
  Execution run = product.execute({&a, &b});
  std::atomic<int> calls = 0;
  Event event = run.outputs[0][0].ready_event();
  event.on_ready([&](const std::optional<PjrtError>& error) { calls += error ? 100 : 1; });
  event.await();
  run = {};
  client_.reset();
  a = Buffer();
  b = Buffer();
  // A callback may run just after await() returns.
  while (calls == 0) std::this_thread::yield();
  EXPECT_EQ(calls, 1);
}

TEST_P(RuntimeTest, DonatedBytesAreAliasedAndTheBufferIsConsumed) {
  Executable sum = Executable::compile(client_, kDonatingSum, {});
  EXPECT_EQ(sum.program().memory_stats().alias, 1024);
  Buffer x = on_device(iota({256}));
  Buffer y = on_device(iota({256}, 1));
  x.ready_event().await();
  const void* memory = x.device_pointer();
  Execution run = sum.execute({&x, &y}, {.donated = {0}});
  EXPECT_TRUE(x.empty());
  EXPECT_FALSE(y.empty());
  run.done.await();
  EXPECT_EQ(run.outputs[0][0].device_pointer(), memory);
  EXPECT_EQ(floats(run.outputs[0][0])[255], 511);
  EXPECT_THAT([&] { x.to_host(); }, ThrowsMessage<PjrtError>(HasSubstr("donated")));
}

TEST_P(RuntimeTest, ArgumentThatIsNotDonatedSurvives) {
  Executable sum = Executable::compile(client_, kDonatingSum, {});
  Buffer x = on_device(iota({256}));
  Buffer y = on_device(iota({256}, 1));
  for (int i = 0; i < 2; ++i) {
    Execution run = sum.execute({&x, &y});
    EXPECT_EQ(floats(run.outputs[0][0])[255], 511);
    EXPECT_EQ(floats(run.outputs[0][1])[2], 6);
  }
  EXPECT_EQ(floats(x)[255], 255);
}

TEST_P(RuntimeTest, ViewsOfHostMemoryAndDoubledBuffersAreNotDonated) {
  Executable sum = Executable::compile(client_, kDonatingSum, {});
  Buffer view = on_device(iota({256}), HostMemory::kZeroCopy);
  Buffer y = on_device(iota({256}));
  EXPECT_THAT([&] { sum.execute({&view, &y}, {.donated = {0}}); }, ThrowsMessage<PjrtError>(HasSubstr("host memory")));
  EXPECT_THAT([&] { sum.execute({&y, &y}, {.donated = {0}}); }, ThrowsMessage<PjrtError>(HasSubstr("twice")));
  EXPECT_THAT(
      [&] {
        sum.execute({&y, &view}, {.donated = {2}});
      },
      ThrowsMessage<PjrtError>(HasSubstr("only 2 arguments")));
  EXPECT_FALSE(y.empty());
  EXPECT_EQ(floats(sum.execute({&view, &y}).outputs[0][0])[255], 510);
}

TEST_P(RuntimeTest, DonationIsCheckedAgainstTheSignature) {
  Executable sum = Executable::compile(client_, kDonatingSum, {});
  TensorType vector{DType::kF32, {{"d", 256}}};
  Signature signature{.args = {{.name = "x", .type = vector, .donated_to = 0}, {.name = "y", .type = vector}},
                      .results = {{.name = "sum", .type = vector}, {.name = "twice", .type = vector}},
                      .mesh = {}};
  EXPECT_NO_THROW(check_donation(sum.program(), signature));
  EXPECT_EQ(memory_aliases(sum.program().optimized_program()), (std::vector<MemoryAlias>{{0, 0}}));
  signature.args[1].donated_to = 1;
  EXPECT_THAT([&] { check_donation(sum.program(), signature); },
              ThrowsMessage<RuntimeFault>(testing::AllOf(HasSubstr("donates 2048"), HasSubstr("reuses 1024"),
                                                         HasSubstr("'y' is taken over by no result instead of 'twice'"),
                                                         Not(HasSubstr("'x'")))));
}

TEST_P(RuntimeTest, WrongArgumentsAreErrorsOfThePlugin) {
  Executable product = Executable::compile(client_, kProduct, {});
  Buffer a = on_device(iota({2, 3}));
  Buffer wrong = on_device(iota({3, 3}));
  EXPECT_THROW(product.execute({&a}), PjrtError);
  EXPECT_THROW(product.execute({&a, &wrong}), PjrtError);
  Buffer empty;
  EXPECT_THAT([&] { product.execute({&a, &empty}); }, ThrowsMessage<PjrtError>(HasSubstr("empty")));
  EXPECT_THAT([&] { product.execute_sharded({{&a, &a}, {&a, &a}}); }, ThrowsMessage<PjrtError>(HasSubstr("1 devices")));
}

TEST_P(RuntimeTest, CompilerErrorsKeepTheirText) {
  constexpr const char* kWrong = R"(
    func.func @main(%x: tensor<2xf32>, %y: tensor<3xf32>) -> tensor<2xf32> {
      %0 = "stablehlo.add"(%x, %y) : (tensor<2xf32>, tensor<3xf32>) -> tensor<2xf32>
      return %0 : tensor<2xf32>
    })";
  try {
    Executable::compile(client_, kWrong, {});
    FAIL() << "compiled";
  } catch (const PjrtError& error) {
    EXPECT_EQ(error.call(), "PJRT_Client_Compile");
    EXPECT_THAT(error.text(), testing::AllOf(HasSubstr("stablehlo.add"), HasSubstr("3:")));
  }
}

TEST_P(RuntimeTest, XlaFlagsReachTheCompilerAndUnknownOnesAreErrors) {
  auto flags = parse_xla_flags("--xla_cpu_enable_fast_math --xla_backend_optimization_level=2");
  EXPECT_NO_THROW(Executable::compile(client_, kProduct, {.xla_flags = flags}));
  EXPECT_THAT(
      [&] {
        Executable::compile(client_, kProduct, {.xla_flags = {{"xla_no_such_flag", "1"}}});
      },
      ThrowsMessage<PjrtError>(HasSubstr("xla_no_such_flag")));
  EXPECT_THROW(Executable::compile(client_, kProduct, {.xla_flags = {{"xla_cpu_enable_fast_math", "maybe"}}}),
               PjrtError);
}

TEST_P(RuntimeTest, MemoryAndCostAreReported) {
  Executable product = Executable::compile(client_, kProduct, {});
  MemoryStats memory = product.program().memory_stats();
  EXPECT_EQ(memory.argument, 48);
  EXPECT_EQ(memory.output, 16);
  EXPECT_EQ(memory.alias, 0);
  auto cost = product.program().cost_analysis();
  // The newer plugin gives no cost analysis for the CPU.
  if (GetParam() == "xla_cpu_pjrt") {
    EXPECT_EQ(cost.at("flops"), 24);
  } else {
    EXPECT_TRUE(cost.empty() || cost.at("flops") == 24);
  }
  EXPECT_EQ(product.program().num_outputs(), 1);
  EXPECT_EQ(product.program().num_partitions(), 1);
}

TEST_P(RuntimeTest, ProgramRunsOnFourDevices) {
  client_ = cpu_client(GetParam(), 4);
  Executable sharded = Executable::compile(client_, kSharded, {.device_ids = {0, 1, 2, 3}});
  ASSERT_EQ(sharded.devices().size(), 4U);
  EXPECT_EQ(sharded.program().num_partitions(), 4);
  std::vector<Buffer> shards;
  std::vector<std::vector<Buffer*>> lists;
  for (int d = 0; d < 4; ++d) {
    const Device& device = *sharded.devices()[static_cast<size_t>(d)];
    EXPECT_EQ(device.id, d);
    shards.push_back(Buffer::from_host(client_, iota({2, 3}, static_cast<float>(6 * d)), device));
  }
  for (Buffer& shard : shards) lists.push_back({&shard});
  Execution run = sharded.execute_sharded(lists);
  run.done.await();
  for (int d = 0; d < 4; ++d) {
    const auto& out = run.outputs[static_cast<size_t>(d)];
    // Column j of rows 0..7 holds 3 i + j.
    EXPECT_THAT(floats(out[0]), ElementsAre(84, 92, 100));
    EXPECT_EQ(floats(out[1])[5], 2 * (6 * d + 5));
    EXPECT_EQ(out[1].device().id, d);
  }
  EXPECT_THROW(sharded.execute(lists[0]), PjrtError);
}

TEST_P(RuntimeTest, DeviceListChoosesTheDevice) {
  client_ = cpu_client(GetParam(), 2);
  Executable product = Executable::compile(client_, kProduct, {.device_ids = {1}});
  ASSERT_EQ(product.devices().size(), 1U);
  EXPECT_EQ(product.devices()[0]->id, 1);
  Buffer a = Buffer::from_host(client_, iota({2, 3}), *product.devices()[0]);
  Buffer b = Buffer::from_host(client_, iota({3, 2}), *product.devices()[0]);
  Execution run = product.execute({&a, &b});
  EXPECT_EQ(run.outputs[0][0].device().id, 1);
  EXPECT_THAT(floats(run.outputs[0][0]), ElementsAre(10, 13, 28, 40));
}

TEST_P(RuntimeTest, SerialisedExecutableRunsAndKeepsItsStatistics) {
  Executable sum = Executable::compile(client_, kDonatingSum, {});
  std::string bytes = sum.program().serialize();
  auto other = cpu_client(GetParam());
  Executable loaded = Executable::deserialize(other, bytes, {});
  EXPECT_EQ(loaded.program().memory_stats().alias, 1024);
  Buffer x = Buffer::from_host(other, iota({256}), *loaded.devices()[0]);
  Buffer y = Buffer::from_host(other, iota({256}), *loaded.devices()[0]);
  Execution run = loaded.execute({&x, &y}, {.donated = {0}});
  EXPECT_TRUE(x.empty());
  EXPECT_EQ(floats(run.outputs[0][0])[255], 510);
}

TEST_P(RuntimeTest, BuffersKeepTheirClientAlive) {
  std::weak_ptr<const Client> watch = client_;
  Buffer buffer = on_device(iota({4}));
  client_.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_THAT(floats(buffer), ElementsAre(0, 1, 2, 3));
  buffer = Buffer();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace fathom
