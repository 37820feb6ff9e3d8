// Reading a Hugging Face folder into arrays beside reading the bytes of its file into memory, both on all cores, from
// the page cache and into fresh memory, one after the other in each iteration; the arrays are in huge pages, as those
// of a run are. `ratio`: the rate of loading over that of reading, both in bytes of the file. Arguments: 0 for float32
// and 1 for bfloat16 arrays (the folder is in bfloat16); devices along fsdp, all of them of this process.
#include <benchmark/benchmark.h>

#include <chrono>
#include <map>
#include <thread>

#include "base/huge_pages.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "convert/hf_weights.h"
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

// A folder with numbers in it, written once.
const std::string& folder() {
  static const TemporaryFolder made;
  static const bool written = [] {
    const ModelConfig m = model(DType::kBF16);
    const std::vector<Param> table = param_table(m);
    std::map<std::string, HostArray> tensors;
    for (const ParamArray& array : param_arrays(m, table)) {
      for (const HfPart& part : hf_parts(m, table[array.row], array)) {
        HostArray values = HostArray::allocate(DType::kBF16, part.sizes);
        uint16_t bits = 0x3c00;
        for (uint16_t& x : values.mutable_view<uint16_t>())
          x = bits = static_cast<uint16_t>(0x3c00 | (bits * 5 + 1) % 0x80);
        tensors.emplace(part.name, std::move(values));
      }
    }
    write_safetensors(made / kModelFile, tensors);
    return true;
  }();
  static_cast<void>(written);
  return made.path();
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t read_file(const std::string& path) {
  constexpr int64_t kStep = int64_t{2} << 20;
  const auto file = file_store(path).open(path);
  const int64_t bytes = file_store(path).size(path);
  HostArray into = HostArray::allocate(DType::kU8, {bytes});
  Threads threads(std::thread::hardware_concurrency());
  threads.run((bytes + kStep - 1) / kStep, [&](int64_t i) {
    file->read(i * kStep, {into.mutable_data() + i * kStep, static_cast<size_t>(std::min(kStep, bytes - i * kStep))});
  });
  return bytes;
}

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

void load_folder(const ModelConfig& m, int64_t devices) {
  const std::vector<Param> table = param_table(m);
  const std::vector<ParamArray> arrays = param_arrays(m, table);
  const HfWeights weights(TensorFolder::open(folder()), {m, table, arrays});
  std::vector<HostArray> kept;
  for (size_t i = 0; i < arrays.size(); ++i) {
    std::vector<SliceMemory> memory;
    for (const ArraySlice& slice : slices_of(arrays[i].type.shape.sizes(), devices)) {
      kept.push_back(HostArray::allocate(arrays[i].type.dtype, slice.sizes));
      memory.push_back({slice, kept.back().mutable_data()});
      prefer_huge_pages(memory.back().data, static_cast<size_t>(kept.back().bytes()));
    }
    weights.fill(i, memory);
  }
}

void load(benchmark::State& state) {
  const ModelConfig m = model(state.range(0) == 0 ? DType::kF32 : DType::kBF16);
  int64_t bytes = read_file(folder() + "/" + std::string(kModelFile));
  double reading = 0, loading = 0;
  for (auto _ : state) {
    reading += seconds([&] { bytes = read_file(folder() + "/" + std::string(kModelFile)); });
    const double s = seconds([&] { load_folder(m, state.range(1)); });
    loading += s;
    state.SetIterationTime(s);
  }
  const double all = static_cast<double>(bytes) * static_cast<double>(state.iterations());
  state.counters["read_GB/s"] = 1e-9 * all / reading;
  state.counters["load_GB/s"] = 1e-9 * all / loading;
  state.counters["ratio"] = reading / loading;
}
BENCHMARK(load)
    ->ArgNames({"bf16", "devices"})
    ->ArgsProduct({{0, 1}, {1, 8}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
