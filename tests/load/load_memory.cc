// load_memory WINDOW [key=value...]: loads what two of eight devices hold of deepseek2-16b, in bfloat16, from a folder
// of its real names and shapes whose data are holes. Fails when the process needs more than WINDOW megabytes beside the
// slices.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/temporary_folder.h"
#include "config/resolve/resolve.h"
#include "convert/hf_weights.h"
#include "mesh/device_mesh.h"
#include "program/state.h"
#include "runtime/plugin_search.h"
#include "runtime/sharded_array.h"

namespace fathom {
namespace {

constexpr int kDevices = 8;
const std::vector<int> kOwn = {2, 3};

// model.safetensors with a real header and no data on the disk.
void write_holes(const std::string& path, const StateSpec& spec) {
  std::string header;
  int64_t end = 0;
  for (const ParamArray& array : spec.arrays) {
    for (const HfPart& part : hf_parts(spec.model, spec.table[array.row], array)) {
      const int64_t begin = end;
      end += part.elements * byte_size(DType::kBF16);
      header += fmt::format("{}\"{}\":{{\"dtype\":\"BF16\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                            header.empty() ? "{" : ",", part.name, fmt::join(part.sizes, ","), begin, end);
    }
  }
  header += '}';
  header.resize((header.size() + 63) / 64 * 64 - 8, ' ');
  const uint64_t length = header.size();  // little-endian, as this machine is
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  file.close();
  std::filesystem::resize_file(path, sizeof(length) + length + static_cast<uint64_t>(end));
}

// Bytes of a line of /proc/self/status.
int64_t status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    int64_t kilobytes = 0;
    if (word == name + ":" && file >> kilobytes) return kilobytes * 1024;
  }
  throw std::runtime_error("/proc/self/status has no " + name);
}

int run(int64_t window, std::vector<std::string> keys) {
  keys.insert(keys.begin(),
              {"configs/base.yml", "model_name=deepseek2-16b", "override_model_config=True", "run_name=load",
               "dataset_type=synthetic", "weight_dtype=bfloat16", fmt::format("cpu_device_count={}", kDevices),
               fmt::format("ici_fsdp_parallelism={}", kDevices)});
  const Config config = resolve_config(keys, {}).config;
  const StateSpec spec = state_spec(config, resolve_mesh(config, kDevices).mesh);
  TemporaryFolder folder;
  write_holes(folder / kModelFile, spec);

  auto client = Client::create(Plugin::load(find_plugin("", Hardware::kCpu)), {.cpu_device_count = kDevices});
  auto assignment = DeviceAssignment::create(client, spec.partition->mesh(), {.addressable = kOwn});
  const HfWeights weights(TensorFolder::open(folder.path()), {spec.model, spec.table, spec.arrays});
  std::vector<ShardedArray> loaded;
  int64_t slices = 0;
  for (size_t i : spec.parameters()) {
    const StateEntry& e = spec.entries[i];
    loaded.push_back(ShardedArray::filled(assignment, {e.type.dtype, e.type.shape.sizes(), e.sharding},
                                          [&](std::span<const SliceMemory> slices) { weights.fill(e.array, slices); }));
    for (const Buffer& shard : loaded.back().shards()) slices += shard.device_bytes();
  }
  const int64_t peak = status("VmHWM") - status("RssFile");
  fmt::print("slices {:.2f} GB, peak {:.2f} GB (VmHWM - RssFile): {} MB beside the slices, {} allowed\n",
             1e-9 * static_cast<double>(slices), 1e-9 * static_cast<double>(peak), (peak - slices) / 1'000'000, window);
  // Less than the slices would mean that they were not filled.
  return peak >= slices && peak <= slices + window * 1'000'000 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: load_memory WINDOW [key=value...]\n");
    return 2;
  }
  return fathom::run(std::stoll(argv[1]), {argv + 2, argv + argc});
}
