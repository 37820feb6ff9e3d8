#include "runtime/machines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace fathom {
namespace {

// ---- TPU slices ----

using Bounds = std::array<int64_t, 3>;  // chips along x, y, z

struct TpuSlice {
  std::string name;
  Bounds chips;
  bool wrapped_x = false, wrapped_y = false, wrapped_z = false;  // whether the links along an axis make a ring
};

struct TpuKind {
  std::string_view name;      // "v5p"
  std::string_view platform;  // what libtpu calls it
  // The two cores of a chip as one device, or each core as a device.
  std::string_view chip_config;
  int64_t devices_a_chip;
  bool flat;               // chips have links in two directions, not three
  int64_t memory_bytes;    // of a device, as libtpu counts it: what programs may use
  double chip_tflops;      // bfloat16
  double chip_links_gbps;  // gigabytes a second received: half of what is called bidirectional
  double chip_memory_gbps;
};

// Memory: device_memory_bytes_limit of libtpu 0.0.52's topologies, which differs by less than a megabyte between
// slices. The rest: the products' pages (docs.cloud.google.com/tpu/docs), for v4 "TPU v4" (Jouppi et al., 2023): six
// links of 50 GB/s.
constexpr TpuKind kTpus[] = {
    {"tpu7x", "tpu7x", "default", 2, false, 101'724'400'000, 2307, 600, 7380},
    {"v6e", "v6e", "default", 1, true, 33'546'000'000, 918, 400, 1640},
    {"v5e", "v5e", "default", 1, true, 16'909'300'000, 197, 200, 819},
    {"v5p", "v5", "megacore", 1, false, 102'786'500'000, 459, 600, 2765},
    {"v4", "v4", "megacore", 1, false, 33'014'300'000, 275, 300, 1228},
};

// A pod is wired in cubes of 4 x 4 x 4 chips; a larger slice is a block of cubes.
constexpr int64_t kCube = 4;
constexpr int64_t kChipsOfCube = kCube * kCube * kCube;
constexpr int64_t kLongest = 248;  // chips along one direction

// The block of `count` cubes with the least surface; ascending.
Bounds block_of(int64_t count) {
  Bounds best{1, 1, count};
  for (int64_t a = 1; a * a * a <= count; ++a) {
    if (count % a != 0) continue;
    for (int64_t b = a; a * b * b <= count; ++b) {
      int64_t c = count / a / b;
      if (count % (a * b) == 0 && a + b + c < best[0] + best[1] + best[2]) best = {a, b, c};
    }
  }
  return best;
}

// Numbers of cubes that slices of this kind come in.
std::vector<int64_t> cube_counts(const TpuKind& kind) {
  if (kind.name == "v4") return {1, 2, 3, 4, 8, 12, 16, 32};
  std::vector<int64_t> out;
  for (int64_t n = 1; n <= 96; ++n) out.push_back(n);
  if (kind.name == "v5p") out.insert(out.end(), {108, 140});
  if (kind.name == "tpu7x") out.insert(out.end(), {108, 128, 140, 144});
  return out;
}

std::vector<TpuSlice> deep_slices(const TpuKind& kind) {
  // Both namings count two for each chip: cores of v4 and v5p, devices of tpu7x.
  auto name = [&](int64_t chips) { return fmt::format("{}-{}", kind.name, 2 * chips); };
  std::vector<TpuSlice> out;
  if (kind.name == "tpu7x") out.push_back({name(1), {1, 1, 1}});
  for (Bounds b : {Bounds{2, 2, 1}, {2, 2, 2}, {2, 2, 4}, {2, 4, 4}}) out.push_back({name(b[0] * b[1] * b[2]), b});
  for (int64_t cubes : cube_counts(kind)) {
    Bounds b = block_of(cubes);
    if (b[2] * kCube > kLongest) continue;
    out.push_back({name(cubes * kChipsOfCube), {b[0] * kCube, b[1] * kCube, b[2] * kCube}, true, true, true});
  }
  return out;
}

std::vector<TpuSlice> flat_slices(const TpuKind& kind) {
  std::vector<TpuSlice> out;
  for (Bounds b : {Bounds{1, 1, 1}, {2, 2, 1}, {2, 4, 1}, {4, 4, 1}, {4, 8, 1}, {8, 8, 1}, {8, 16, 1}, {16, 16, 1}}) {
    out.push_back({fmt::format("{}-{}", kind.name, b[0] * b[1]), b, b[0] == 16, b[1] == 16, false});
  }
  return out;
}

std::vector<TpuSlice> slices_of(const TpuKind& kind) { return kind.flat ? flat_slices(kind) : deep_slices(kind); }

Machine tpu_machine(const TpuKind& kind, const TpuSlice& slice, int64_t slices) {
  const Bounds& b = slice.chips;
  int64_t chips = b[0] * b[1] * b[2];
  std::string bounds = kind.flat ? fmt::format("{}x{}", b[0], b[1]) : fmt::format("{}x{}x{}", b[0], b[1], b[2]);
  // A host has four chips, the smallest slices one.
  std::vector<int64_t> host = chips == 1 ? std::vector<int64_t>{1, 1, 1} : std::vector<int64_t>{2, 2, 1};
  const auto part = static_cast<double>(kind.devices_a_chip);
  std::vector<int64_t> wrap{slice.wrapped_x, slice.wrapped_y, slice.wrapped_z};
  return {.hardware = Hardware::kTpu,
          .topology = fmt::format("{}:{}", kind.platform, bounds),
          .options = {{"chips_per_host_bounds", host},
                      {"chip_config_name", std::string(kind.chip_config)},
                      {"wrap", wrap},
                      {"num_slices", slices}},
          .devices = chips * kind.devices_a_chip * slices,
          .slices = slices,
          .memory_bytes = kind.memory_bytes,
          .peaks = {.flops = kind.chip_tflops * 1e12 / part,
                    .links = kind.chip_links_gbps * 1e9 / part,
                    .memory = kind.chip_memory_gbps * 1e9 / part}};
}

// ---- GPU hosts ----

struct GpuKind {
  std::string_view name;    // "h100"
  std::string_view device;  // the driver's name
  int64_t memory_bytes;     // all of it, as the driver reports
  int64_t bandwidth;        // of the memory, bytes/s
  int64_t cores;            // streaming multiprocessors
  int64_t fpus;             // float32 units a core
  int64_t l2_bytes;
  double clock_ghz;
  int64_t capability;           // major version
  int64_t shared_memory;        // bytes a core
  int64_t shared_memory_optin;  // bytes a block at most
  double tflops;                // bfloat16 products without sparsity
  double links_gbps;            // gigabytes a second received over NVLink
};

// NVIDIA's data sheets and the properties that the driver reports.
constexpr GpuKind kGpus[] = {
    {"a100", "NVIDIA A100-SXM4-80GB", 85100068864, 2039040000000, 108, 64, 41943040, 1.41, 8, 167936, 166912, 312, 300},
    {"a100_40gb", "NVIDIA A100-SXM4-40GB", 42331013120, 1555200000000, 108, 64, 41943040, 1.41, 8, 167936, 166912, 312,
     300},
    {"h100", "NVIDIA H100 80GB HBM3", 84942979072, 3352320000000, 132, 128, 52428800, 1.98, 9, 233472, 232448, 989.4,
     450},
    {"h200", "NVIDIA H200 141GB HBM3e", 151397597184, 4800000000000, 132, 128, 52428800, 1.98, 9, 233472, 232448, 989.4,
     450},
    {"b200", "NVIDIA B200", 191514411008, 7672320000000, 148, 128, 132644864, 1.965, 10, 233472, 232448, 2250, 900},
};
constexpr int64_t kGpusOfHost = 8;
constexpr int64_t kMostGpus = 1024;

// XLA's GpuTargetConfigProto as text: what it would ask the driver.
std::string target_config(const GpuKind& gpu) {
  return fmt::format(
      "gpu_device_info {{ threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 "
      "shared_memory_per_core: {} threads_per_core_limit: 2048 core_count: {} fpus_per_core: {} "
      "block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: {} "
      "l2_cache_size: {} clock_rate_ghz: {} device_memory_size: {} shared_memory_per_block_optin: {} "
      "cuda_compute_capability {{ major: {}{} }} registers_per_core_limit: 65536 registers_per_block_limit: 65536 "
      "thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64 name: \"{}\" "
      "driver_version: \"13.0.0\" runtime_version: \"13.0.0\" compile_time_toolkit_version: \"13.0.0\" "
      "dnn_version: \"9.10.0\" }}\n"
      "platform_name: \"CUDA\"\ndnn_version_info {{ major: 9 minor: 10 patch: 0 }}\n"
      "device_description_str: \"{}\"\n",
      gpu.shared_memory, gpu.cores, gpu.fpus, gpu.bandwidth, gpu.l2_bytes, gpu.clock_ghz, gpu.memory_bytes,
      gpu.shared_memory_optin, gpu.capability, gpu.capability >= 9 ? " feature_extension: ACCELERATED_FEATURES" : "",
      gpu.device, gpu.device);
}

// 1, 2, 4 and 8 on one host, then whole hosts.
bool is_gpu_count(int64_t n) {
  if (n < kGpusOfHost) return n == 1 || n == 2 || n == 4;
  return n % kGpusOfHost == 0 && n <= kMostGpus;
}

Machine gpu_machine(const GpuKind& gpu, int64_t count, int64_t slices) {
  int64_t hosts = std::max<int64_t>(1, count / kGpusOfHost);
  return {.hardware = Hardware::kGpu,
          .topology = "gpu",
          .options = {{"target_config", target_config(gpu)},
                      {"topology", fmt::format("{}x{}x{}", slices, hosts, count / hosts)}},
          .devices = count * slices,
          .slices = slices,
          .memory_bytes = gpu.memory_bytes,
          .peaks = {
              .flops = gpu.tflops * 1e12, .links = gpu.links_gbps * 1e9, .memory = static_cast<double>(gpu.bandwidth)}};
}

std::optional<Machine> find_gpu_machine(std::string_view name, int64_t slices) {
  size_t dash = name.find('-');
  std::string_view digits = dash == std::string_view::npos ? std::string_view() : name.substr(dash + 1);
  int64_t count = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc() || end != digits.data() + digits.size() || !is_gpu_count(count)) return std::nullopt;
  for (const GpuKind& gpu : kGpus) {
    if (gpu.name == name.substr(0, dash)) return gpu_machine(gpu, count, slices);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Machine> find_machine(std::string_view name, int64_t slices) {
  if (name == "a3") return find_machine("h100-8", slices);
  for (const TpuKind& kind : kTpus) {
    if (!name.starts_with(std::string(kind.name) + "-")) continue;
    for (const TpuSlice& slice : slices_of(kind)) {
      if (slice.name == name) return tpu_machine(kind, slice, slices);
    }
  }
  return find_gpu_machine(name, slices);
}

std::vector<std::string> machine_names() {
  std::vector<std::string> out;
  for (const TpuKind& kind : kTpus) {
    for (const TpuSlice& slice : slices_of(kind)) out.push_back(slice.name);
  }
  for (const GpuKind& gpu : kGpus) {
    for (int64_t n = 1; n <= kMostGpus; ++n) {
      if (is_gpu_count(n)) out.push_back(fmt::format("{}-{}", gpu.name, n));
    }
  }
  out.emplace_back("a3");
  return out;
}

}  // namespace fathom
