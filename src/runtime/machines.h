// The machines that programs can be compiled for without having them, by the names that their makers and MaxText use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hardware.h"
#include "runtime/named_value.h"

namespace fathom {

// What one device does a second at most, by the maker's data; 0: unknown.
struct ChipPeaks {
  double flops = 0;   // of bfloat16 products
  double links = 0;   // bytes received over all links to the devices of its slice or host
  double memory = 0;  // bytes read and written
};

// What Topology::create takes for a machine.
struct Machine {
  Hardware hardware = Hardware::kTpu;
  std::string topology;  // the plugin's own name: "v5:4x4x8"
  NamedValues options;
  int64_t devices = 0;       // in all slices together
  int64_t slices = 1;        // groups of devices with a fast network inside
  int64_t memory_bytes = 0;  // of one device; of a TPU what programs may use, by its compiler
  ChipPeaks peaks;
};

// `slices` machines called `name`: "v5p-256" counts the cores of a TPU v4, v5p or tpu7x slice, the chips of v5e and
// v6e; "h100-8" the GPUs, 8 a host; "a3" is one host of 8 H100. Nothing for an unknown name.
std::optional<Machine> find_machine(std::string_view name, int64_t slices);

// All names of TPU slices, then GPU machines of one to eight GPUs and of whole hosts up to 1,024.
std::vector<std::string> machine_names();

}  // namespace fathom
