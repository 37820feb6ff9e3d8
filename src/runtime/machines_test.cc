#include "runtime/machines.h"

#include <gmock/gmock.h>

#include <set>

namespace fathom {
namespace {

using testing::HasSubstr;

std::string topology(const char* name) { return find_machine(name, 1).value().topology; }
int64_t devices(const char* name) { return find_machine(name, 1).value().devices; }

// The table of maxtext-facts.md, section 6.4, and MaxText's own names beyond it.
TEST(FindMachine, KnowsSlicesByTheCoresOrChipsThatTheyAreNamedAfter) {
  struct Row {
    const char* name;
    const char* topology;
    int64_t devices;
  };
  for (const Row& row : std::vector<Row>{
           {"v4-8", "v4:2x2x1", 4},
           {"v4-128", "v4:4x4x4", 64},
           {"v4-512", "v4:4x8x8", 256},
           {"v4-4096", "v4:8x16x16", 2048},
           {"v5e-4", "v5e:2x2", 4},
           {"v5e-16", "v5e:4x4", 16},
           {"v5e-256", "v5e:16x16", 256},
           {"v6e-1", "v6e:1x1", 1},
           {"v6e-8", "v6e:2x4", 8},
           {"tpu7x-2", "tpu7x:1x1x1", 2},
           {"tpu7x-8", "tpu7x:2x2x1", 8},
           {"tpu7x-256", "tpu7x:4x4x8", 256},
           {"tpu7x-18432", "tpu7x:16x24x24", 18432},
           {"v5p-8", "v5:2x2x1", 4},
           {"v5p-256", "v5:4x4x8", 128},
           {"v5p-896", "v5:4x4x28", 448},
           {"v5p-2048", "v5:8x8x16", 1024},
           {"v5p-8192", "v5:16x16x16", 4096},
           {"v5p-17920", "v5:16x20x28", 8960},
       }) {
    ASSERT_TRUE(find_machine(row.name, 1)) << row.name;
    EXPECT_EQ(topology(row.name), row.topology);
    EXPECT_EQ(devices(row.name), row.devices) << row.name;
    EXPECT_EQ(find_machine(row.name, 1)->hardware, Hardware::kTpu);
  }
}

TEST(FindMachine, TellsThePluginHowAPodIsWiredAndWhatADeviceIs) {
  Machine pod = find_machine("v5p-256", 2).value();
  EXPECT_EQ(pod.devices, 256);
  EXPECT_EQ(pod.slices, 2);
  EXPECT_EQ(std::get<int64_t>(pod.options.at("num_slices")), 2);
  EXPECT_EQ(std::get<std::string>(pod.options.at("chip_config_name")), "megacore") << "two cores are one device";
  EXPECT_EQ(std::get<std::vector<int64_t>>(pod.options.at("wrap")), (std::vector<int64_t>{1, 1, 1}));
  EXPECT_EQ(std::get<std::vector<int64_t>>(find_machine("v5p-64", 1)->options.at("wrap")),
            (std::vector<int64_t>{0, 0, 0}))
      << "less than a cube is no torus";
  EXPECT_EQ(std::get<std::vector<int64_t>>(find_machine("v6e-128", 1)->options.at("wrap")),
            (std::vector<int64_t>{0, 1, 0}));
}

TEST(FindMachine, CountsGpusByHostsOfEight) {
  EXPECT_EQ(std::get<std::string>(find_machine("h100-8", 1)->options.at("topology")), "1x1x8");
  EXPECT_EQ(std::get<std::string>(find_machine("h100-32", 2)->options.at("topology")), "2x4x8");
  EXPECT_EQ(std::get<std::string>(find_machine("b200-2", 1)->options.at("topology")), "1x1x2");
  EXPECT_EQ(find_machine("h100-32", 2)->devices, 64);
  EXPECT_THAT(std::get<std::string>(find_machine("h200-8", 1)->options.at("target_config")),
              HasSubstr("name: \"NVIDIA H200 141GB HBM3e\""));
  EXPECT_EQ(find_machine("a3", 1)->options, find_machine("h100-8", 1)->options) << "MaxText's name";
}

TEST(FindMachine, GivesNothingForOtherNames) {
  for (const char* name : {"", "v5p", "v5p-", "v5p-7", "v5p-8576", "v9-8", "h100", "h100-12", "h100-x", "h100-2048"}) {
    EXPECT_FALSE(find_machine(name, 1)) << name;
  }
}

TEST(MachineNames, AreAllDifferentAndAllFound) {
  std::vector<std::string> names = machine_names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const std::string& name : names) EXPECT_TRUE(find_machine(name, 1)) << name;
}

}  // namespace
}  // namespace fathom
