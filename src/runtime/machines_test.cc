#include "runtime/machines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace fathom {
namespace {

using testing::HasSubstr;

std::string joined(const NamedValue& numbers, const char* separator) {
  return fmt::format("{}", fmt::join(std::get<std::vector<int64_t>>(numbers), separator));
}

// Every name of MaxText's accelerator_to_spec_map (August 2026), TPUs in a file of the tests.
TEST(FindMachine, KnowsEverySliceOfMaxTextByItsName) {
  std::ifstream file("tests/data/machines/tpu_slices.txt");
  std::string line;
  std::getline(file, line);  // says what the columns are
  int64_t names = 0;
  for (std::string name, topology, device, host, rings; file >> name; ++names) {
    int64_t devices = 0;
    file >> topology >> device >> host >> devices >> rings;
    std::optional<Machine> machine = find_machine(name, 1);
    ASSERT_TRUE(machine) << name;
    EXPECT_EQ(machine->hardware, Hardware::kTpu) << name;
    EXPECT_EQ(machine->topology, topology) << name;
    EXPECT_EQ(machine->devices, devices) << name;
    EXPECT_EQ(std::get<std::string>(machine->options.at("chip_config_name")), device) << name;
    EXPECT_EQ(joined(machine->options.at("chips_per_host_bounds"), "x"), host) << name;
    std::string wrap = joined(machine->options.at("wrap"), "");
    std::replace(wrap.begin(), wrap.end(), '1', 'y');
    std::replace(wrap.begin(), wrap.end(), '0', 'n');
    EXPECT_EQ(wrap, rings) << name;
  }
  EXPECT_EQ(names, 223);
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

TEST(FindMachine, EveryMachineHasItsPeaksOfADevice) {
  for (const std::string& name : machine_names()) {
    const ChipPeaks peaks = find_machine(name, 1)->peaks;
    EXPECT_GE(peaks.flops, 100e12) << name;
    EXPECT_GE(peaks.memory, 800e9) << name;
    EXPECT_GE(peaks.links, 200e9) << name;
    EXPECT_LE(peaks.links, peaks.memory) << name;
  }
  // Two devices share a chip of this kind.
  EXPECT_EQ(find_machine("tpu7x-8", 1)->peaks.memory, 3690e9);
  EXPECT_EQ(find_machine("v5p-8", 1)->peaks.memory, 2765e9);
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
