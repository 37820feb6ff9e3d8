// Reading a folder of weights into arrays beside reading the bytes of its files into memory, both on all cores, from
// the page cache and into fresh memory, one after the other in each iteration; the arrays are in huge pages, as those
// of a run are. `ratio`: the rate of loading over that of reading, both in bytes of the files. `beside_MB`: what the
// process needed at most beside the arrays. Arguments: the folder's form (Form); 0 for float32 and 1 for bfloat16
// arrays (the folder is in bfloat16); devices along fsdp, all of them of this process.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "base/huge_pages.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "convert/conversion.h"
#include "convert/hf_weights.h"
#include "convert/to_orbax.h"
#include "convert/weight_source.h"
#include "model/test_models.h"
#include "threads.h"

namespace fathom {
namespace {

ModelConfig model(DType weights) {
  ModelConfig m = deepseek2_16b();
  m.d = 1024;
  m.layers = 5;
  m.vocab = 16384;
  m.mlp_dim = 4096;
  m.moe_mlp_dim = 704;
  m.experts = 32;
  m.weight_dtype = weights;
  return m;
}

enum Form : uint8_t { kHuggingFace, kOrbax, kOrbaxPacked };  // packed: zstd, level 1

// A folder with numbers in it, written once.
const std::string& hf_folder() {
  static const TemporaryFolder made;
  static const bool written = [] {
    std::minstd_rand bits(7);
    const ModelConfig m = model(DType::kBF16);
    const std::vector<Param> table = param_table(m);
    std::map<std::string, HostArray> tensors;
    for (const ParamArray& array : param_arrays(m, table)) {
      for (const HfPart& part : hf_parts(m, table[array.row], array)) {
        HostArray values = HostArray::allocate(DType::kBF16, part.sizes);
        for (uint16_t& x : values.mutable_view<uint16_t>()) x = static_cast<uint16_t>(0x3c00 | (bits() >> 8 & 0x7f));
        tensors.emplace(part.name, std::move(values));
      }
    }
    write_safetensors(made / kModelFile, tensors);
    return true;
  }();
  static_cast<void>(written);
  return made.path();
}

// The same numbers in the form.
std::string folder(Form form) {
  if (form == kHuggingFace) return hf_folder();
  static const TemporaryFolder made;
  const std::string step = made / (form == kOrbax ? "plain" : "packed");
  if (std::filesystem::exists(step)) return step + "/items";
  const ModelConfig m = model(DType::kBF16);
  const std::vector<Param> table = param_table(m);
  const std::vector<ParamArray> arrays = param_arrays(m, table);
  const WantedWeights wanted{m, table, arrays};
  ConversionProgress progress("writing", 2 * orbax_bytes(wanted));
  write_orbax(*open_weights(hf_folder(), wanted), wanted, {.step_folder = step, .compress = form == kOrbaxPacked},
              progress);
  return step + "/items";
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// All files of the folder; gives their bytes.
int64_t read_files(const std::string& path) {
  constexpr int64_t kStep = int64_t{2} << 20;
  int64_t all = 0;
  Threads threads(std::thread::hardware_concurrency());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    const auto file = file_store(path).open(entry.path().string());
    const int64_t bytes = file->size();
    HostArray into = HostArray::allocate(DType::kU8, {bytes});
    threads.run((bytes + kStep - 1) / kStep, [&](int64_t i) {
      file->read(i * kStep, {into.mutable_data() + i * kStep, static_cast<size_t>(std::min(kStep, bytes - i * kStep))});
    });
    all += bytes;
  }
  return all;
}

// The memory of this process that is no file's, as /proc/self/status counts it: now, or (VmHWM) at most so far.
int64_t memory(const std::string& line) {
  std::ifstream status("/proc/self/status");
  std::map<std::string, int64_t> kilobytes;
  std::string name, rest;
  for (int64_t value = 0; status >> name;) {
    if (status >> value) kilobytes[name] = value;
    status.clear();
    std::getline(status, rest);
  }
  return (kilobytes[line + ":"] - kilobytes["RssFile:"]) * 1024;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// The slices of an array over its last axis that the devices divide.
std::vector<ArraySlice> slices_of(const std::vector<int64_t>& sizes, int64_t devices) {
  size_t axis = sizes.size() - 1;
  while (axis > 0 && sizes[axis] % devices != 0) --axis;
  std::vector<ArraySlice> out;
  for (int64_t d = 0; d < devices; ++d) {
    ArraySlice slice{std::vector<int64_t>(sizes.size(), 0), sizes};
    slice.sizes[axis] /= devices;
    slice.start[axis] = d * slice.sizes[axis];
    out.push_back(std::move(slice));
  }
  return out;
}

// Gives the bytes that the process needed beside the arrays.
int64_t load_folder(const std::string& path, const ModelConfig& m, int64_t devices) {
  const std::vector<Param> table = param_table(m);
  const std::vector<ParamArray> arrays = param_arrays(m, table);
  const std::unique_ptr<const WeightSource> weights = open_weights(path, {m, table, arrays});
  std::vector<HostArray> kept;
  forget_peak();
  int64_t own = memory("VmRSS");
  for (size_t i = 0; i < arrays.size(); ++i) {
    std::vector<SliceMemory> places;
    for (const ArraySlice& slice : slices_of(arrays[i].type.shape.sizes(), devices)) {
      kept.push_back(HostArray::allocate(arrays[i].type.dtype, slice.sizes));
      places.push_back({slice, kept.back().mutable_data()});
      prefer_huge_pages(places.back().data, static_cast<size_t>(kept.back().bytes()));
      own += kept.back().bytes();
    }
    weights->fill(i, places);
  }
  return memory("VmHWM") - own;
}

void load(benchmark::State& state) {
  const std::string path = folder(static_cast<Form>(state.range(0)));
  const ModelConfig m = model(state.range(1) == 0 ? DType::kF32 : DType::kBF16);
  int64_t bytes = read_files(path), beside = 0;
  double reading = 0, loading = 0;
  for (auto _ : state) {
    reading += seconds([&] { bytes = read_files(path); });
    const double s = seconds([&] { beside = std::max(beside, load_folder(path, m, state.range(2))); });
    loading += s;
    state.SetIterationTime(s);
  }
  const double all = static_cast<double>(bytes) * static_cast<double>(state.iterations());
  state.counters["read_GB/s"] = 1e-9 * all / reading;
  state.counters["load_GB/s"] = 1e-9 * all / loading;
  state.counters["ratio"] = reading / loading;
  state.counters["beside_MB"] = 1e-6 * static_cast<double>(beside);
}
BENCHMARK(load)
    ->ArgNames({"form", "bf16", "devices"})
    ->ArgsProduct({{kHuggingFace, kOrbax, kOrbaxPacked}, {0, 1}, {1, 8}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
