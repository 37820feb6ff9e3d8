// Two real processes of a job with a compile cache each. The test process itself loads no plugin: it forks.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "job/compile_votes.h"
#include "job/job_testing.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

constexpr const char* kProgram =
    R"(module @add attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.add %x, %x : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
})";

// What one process sees: a letter for each compilation, 'c' compiled or 'l' loaded.
std::string life_of(int port, int index, const std::string& folder) {
  auto client = std::make_shared<KeyValueClient>(options_for(port, index, 2));
  std::shared_ptr<const Client> devices = cpu_client(kCpuPlugins[0]);
  auto votes = std::make_shared<CompileVotes>(JobStore{client, index, 2});
  CompileCache cache({.folder = folder, .agreement = votes}), none({.agreement = votes});
  std::string entry = cache.entry_path(*devices, kProgram, {});
  std::string seen;
  auto compile = [&](const CompileCache& with) { seen += with.compile(devices, kProgram, {}).from_cache ? 'l' : 'c'; };
  compile(cache);  // nobody has it
  compile(cache);  // both have it
  if (index == 1) write_file_atomically(entry, "damaged");
  compile(cache);  // process 0 alone has it
  compile(cache);
  if (index == 0) std::filesystem::remove(entry);
  compile(cache);                      // process 1 alone has it
  compile(index == 1 ? none : cache);  // process 1 keeps no cache
  compile(cache);
  client->leave();
  return seen;
}

TEST(CompileVotes, AllProcessesLoadOrAllCompile) {
  TemporaryFolder folder;
  int port = free_port();
  Child process_0([&] {
    KeyValueServer server(server_at(port, 2));
    std::string seen = life_of(port, 0, folder / "0");
    std::fprintf(stderr, "process 0: %s\n", seen.c_str());
    return seen == "clclccl" && server.wait_until_left(kLong) ? 0 : 1;
  });
  Child process_1([&] {
    std::string seen = life_of(port, 1, folder / "1");
    std::fprintf(stderr, "process 1: %s\n", seen.c_str());
    return seen == "clclccl" ? 0 : 1;
  });
  EXPECT_EQ(process_1.wait(), 0);
  EXPECT_EQ(process_0.wait(), 0);
}

}  // namespace
}  // namespace fathom
