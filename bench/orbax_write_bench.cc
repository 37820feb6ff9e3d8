// Writing an Orbax folder beside copying as many bytes from file to file, both on all cores and on a file system in
// memory (/dev/shm), one after the other in each iteration. `ratio`: the rate of writing over that of copying, both in
// bytes of the arrays. Arguments: zstd; inner chunks that are rows of a chunk (0: pieces of it) or columns (1: they are
// gathered). The chunks are matrices of DeepSeek-V3's experts.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <random>

#include "base/host_array.h"
#include "base/stopwatch.h"
#include "checkpoint/local_file.h"
#include "checkpoint/orbax_writer.h"
#include "storage/file_store.h"
#include "threads.h"

namespace fathom {
namespace {

constexpr int64_t kExperts = 16, kIn = 7168, kOut = 2048;
constexpr int64_t kChunkBytes = kIn * kOut * 2;

class MemoryFolder {
 public:
  MemoryFolder() : path_("/dev/shm/fathom-orbax-bench") { std::filesystem::create_directories(path_); }
  ~MemoryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Weights as a model has them: bfloat16, of one size and both signs.
const HostArray& weights() {
  static const HostArray made = [] {
    HostArray out = HostArray::allocate(DType::kBF16, {kIn, kOut});
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02F);
    for (uint16_t& x : out.mutable_view<uint16_t>())
      x = static_cast<uint16_t>(std::bit_cast<uint32_t>(normal(random)) >> 16);
    return out;
  }();
  return made;
}

std::span<const std::byte> bytes_of(const HostArray& array) {
  return {array.data(), static_cast<size_t>(array.bytes())};
}

void copy_file(const std::string& from, const std::string& to) {
  constexpr int64_t kStep = int64_t{2} << 20;
  const auto in = file_store(from).open(from);
  const LocalFile out(to);
  all_cores().run(kExperts * kChunkBytes / kStep, [&](int64_t i) {
    thread_local const std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kStep);
    in->read(i * kStep, {memory.get(), kStep});
    out.write({reinterpret_cast<const char*>(memory.get()), kStep}, i * kStep);
  });
}

void write_folder(const std::string& step, bool compress, bool columns) {
  StoredArraySpec spec = {.path = {"params", "wi"},
                          .dtype = DType::kBF16,
                          .sizes = {kExperts, 1, kIn, kOut},
                          .chunk = {1, 1, kIn, kOut},
                          .inner = {1, 1, kIn / 128, kOut}};
  if (columns) {
    spec = {.path = {"params", "wo"},
            .dtype = DType::kBF16,
            .sizes = {kExperts, 1, kOut, kIn},
            .chunk = {1, 1, kOut, kIn},
            .inner = {1, 1, kOut, kIn / 128}};
  }
  OrbaxWriter writer(step, {spec}, {.compress = compress});
  all_cores().run(kExperts, [&](int64_t i) { writer.write(0, std::vector<int64_t>{i, 0, 0, 0}, bytes_of(weights())); });
  writer.finish();
}

void write_orbax(benchmark::State& state) {
  const MemoryFolder folder;
  {
    const LocalFile file(folder / "from");
    for (int64_t i = 0; i < kExperts; ++i) {
      file.write({reinterpret_cast<const char*>(weights().data()), kChunkBytes}, i * kChunkBytes);
    }
  }
  double copying = 0, writing = 0;
  for (auto _ : state) {
    const Stopwatch copy;
    copy_file(folder / "from", folder / "to");
    copying += copy.seconds();
    std::filesystem::remove(folder / "to");
    const Stopwatch write;
    write_folder(folder / "0", state.range(0) == 1, state.range(1) == 1);
    const double s = write.seconds();
    writing += s;
    state.SetIterationTime(s);
    std::filesystem::remove_all(folder / "0");
  }
  const double all = static_cast<double>(kExperts * kChunkBytes) * static_cast<double>(state.iterations());
  state.counters["copy_GB/s"] = 1e-9 * all / copying;
  state.counters["write_GB/s"] = 1e-9 * all / writing;
  state.counters["ratio"] = copying / writing;
}
BENCHMARK(write_orbax)
    ->ArgNames({"zstd", "columns"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
