#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <thread>

#include "base/file.h"
#include "runtime/compile_cache.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

std::string add_constant(int constant) {
  return R"(module @add attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
    func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %c = stablehlo.constant dense<)" +
         std::to_string(constant) + R"(.0> : tensor<4xf32>
      %0 = stablehlo.add %x, %c : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
  })";
}

class CompileCacheTest : public testing::TestWithParam<std::string> {
 protected:
  CompileCacheTest() { fs::remove_all(folder_); }
  ~CompileCacheTest() override { fs::remove_all(folder_); }

  // The sum of the results for x = 0, 1, 2, 3, and whether the program came from the cache.
  std::pair<float, bool> run(int constant, const CompileCacheOptions& options, const CompileOptions& compile = {}) {
    CachedExecutable cached = CompileCache(options).compile(client_, add_constant(constant), compile);
    HostArray x = HostArray::allocate(DType::kF32, {4});
    auto view = x.mutable_view<float>();
    std::iota(view.begin(), view.end(), 0.0F);
    Buffer buffer = Buffer::from_host(client_, x, *cached.executable.devices()[0]);
    HostArray y = cached.executable.execute({&buffer}).outputs[0][0].to_host();
    auto result = y.view<float>();
    return {std::accumulate(result.begin(), result.end(), 0.0F), cached.from_cache};
  }
  std::pair<float, bool> run(int constant) { return run(constant, {.folder = folder_}); }
  std::string entry(int constant) const {
    return CompileCache({.folder = folder_}).entry_path(*client_, add_constant(constant), {});
  }

  std::string folder_ = testing::TempDir() + "fathom_cache_" + GetParam() + std::to_string(getpid());
  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
};

using Result = std::pair<float, bool>;

INSTANTIATE_TEST_SUITE_P(Cpu, CompileCacheTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(CompileCacheTest, SecondStartSkipsTheCompiler) {
  EXPECT_EQ(run(1), Result(10, false));
  EXPECT_EQ(run(1), Result(10, true));
  EXPECT_EQ(run(2), Result(14, false));
  client_ = cpu_client(GetParam());
  EXPECT_EQ(run(1), Result(10, true));
}

TEST_P(CompileCacheTest, WhateverChangesTheCodeChangesTheEntry) {
  run(1);
  EXPECT_FALSE(run(1, {.folder = folder_, .kernel_abi = "2"}).second);
  EXPECT_FALSE(run(1, {.folder = folder_}, {.xla_flags = {{"xla_backend_optimization_level", "1"}}}).second);
  setenv("XLA_FLAGS", "--xla_backend_optimization_level=2", 1);
  std::string flagged = entry(1);
  unsetenv("XLA_FLAGS");
  EXPECT_NE(flagged, entry(1));
  client_ = cpu_client(GetParam(), 2);
  EXPECT_FALSE(run(1).second);
  for (const std::string& other : kCpuPlugins) {
    if (other == GetParam()) continue;
    client_ = cpu_client(other);
    EXPECT_FALSE(run(1).second);
  }
}

TEST_P(CompileCacheTest, DamagedEntryIsCompiledAgainAndRepaired) {
  run(1);
  std::string good = read_file(entry(1));
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  for (const std::string& bad :
       {flipped, good.substr(0, good.size() - 1), good.substr(0, 10), std::string(), good + "x", std::string("text")}) {
    write_file_atomically(entry(1), bad);
    EXPECT_EQ(run(1), Result(10, false));
    EXPECT_EQ(run(1), Result(10, true));
  }
}

// Mapped, it would end the process.
TEST_P(CompileCacheTest, EntryThatIsCutShortWhileItIsReadIsCompiledAgain) {
  run(1);
  const std::string path = entry(1);
  const uintmax_t whole = fs::file_size(path);
  std::atomic<bool> done = false;
  std::thread cutting([&] {
    for (std::error_code none; !done;) {
      fs::resize_file(path, 100, none);
      fs::resize_file(path, whole, none);
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(run(1).first, 10);
  done = true;
  cutting.join();
}

TEST_P(CompileCacheTest, EntryThatThePluginRefusesIsCompiledAgain) {
  // A valid frame around bytes that are no executable: the hash is that of an empty string.
  write_file_atomically(entry(1), "fathom compiled program 1\n99aa06d3014798d86001c324468d497f\n");
  EXPECT_EQ(run(1), Result(10, false));
  EXPECT_EQ(run(1), Result(10, true));
}

TEST_P(CompileCacheTest, FolderThatCannotBeWrittenIsNotFatal) {
  write_file_atomically(folder_, "a file where the folder should be");
  EXPECT_EQ(run(1), Result(10, false));
}

TEST_P(CompileCacheTest, NoFolderMeansNoCache) {
  EXPECT_FALSE(run(1, {}).second);
  EXPECT_FALSE(run(1, {}).second);
}

TEST_P(CompileCacheTest, EntriesUnusedForLongestGoFirst) {
  run(1);
  run(2);
  auto size = static_cast<int64_t>(fs::file_size(entry(1)));
  auto hour = std::chrono::hours(1);
  fs::last_write_time(entry(1), fs::file_time_type::clock::now() - 2 * hour);
  fs::last_write_time(entry(2), fs::file_time_type::clock::now() - hour);
  EXPECT_TRUE(run(1).second);  // marks the first as used
  EXPECT_FALSE(run(3, {.folder = folder_, .max_bytes = 2 * size + size / 2}).second);
  EXPECT_TRUE(fs::exists(entry(1)));
  EXPECT_FALSE(fs::exists(entry(2)));
  EXPECT_TRUE(fs::exists(entry(3)));
}

}  // namespace
}  // namespace fathom
