// write_orbax_folders OUT [FOLDERS [CASE...]]: checkpoint folders in every form that OrbaxWriter has (or in those that
// are named), for restore_with_orbax.py.
//
// FOLDERS/<case>/0 are the folders (OUT/<case>/0 without FOLDERS), OUT/values/<i> the bytes of array i of the tree that
// all of them hold, OUT/expected.json what the arrays are and which folders there are.
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/array_slice.h"
#include "base/host_array.h"
#include "checkpoint/orbax_writer.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;
using Sizes = std::vector<int64_t>;

constexpr DType kTypes[] = {DType::kBool,     DType::kS8,     DType::kS16,  DType::kS32, DType::kS64,
                            DType::kU8,       DType::kU16,    DType::kU32,  DType::kU64, DType::kF16,
                            DType::kF8E4M3FN, DType::kF8E5M2, DType::kBF16, DType::kF32, DType::kF64};

StoredArraySpec array(std::vector<std::string> path, DType dtype, Sizes sizes, Sizes chunk, Sizes inner = {}) {
  return {.path = std::move(path),
          .dtype = dtype,
          .sizes = std::move(sizes),
          .chunk = std::move(chunk),
          .inner = std::move(inner)};
}

std::vector<StoredArraySpec> arrays() {
  const DType kHalf = DType::kBF16, kWhole = DType::kF32;
  std::vector<StoredArraySpec> out;
  for (DType dtype : kTypes) {
    const std::string type(name(dtype));
    out.push_back(array({"types", type, "scalar"}, dtype, {}, {}));
    out.push_back(array({"types", type, "matrix"}, dtype, {5, 6}, {3, 6}, {1, 2}));
  }
  out.push_back(array({"params", "params", "whole"}, kWhole, {7, 9}, {7, 9}));
  out.push_back(array({"params", "params", "rows"}, kHalf, {12, 8}, {4, 8}, {1, 8}));
  out.push_back(array({"params", "params", "columns"}, kHalf, {12, 8}, {4, 8}, {4, 2}));
  out.push_back(array({"params", "params", "over the edge"}, kWhole, {10, 7}, {4, 4}, {2, 1}));
  out.push_back(array({"params", "params", "it's far over"}, kWhole, {3}, {16}, {4}));
  // As stacks of layers and experts are: [in, layers, out], [experts, layers, in, out].
  out.push_back(array({"params", "params", "layers", "kernel"}, kHalf, {64, 5, 24}, {64, 1, 24}, {8, 1, 24}));
  out.push_back(array({"params", "params", "experts", "wi"}, kHalf, {6, 5, 16, 24}, {1, 1, 16, 24}, {1, 1, 4, 24}));
  out.push_back(array({"params", "params", "experts", "wo"}, kHalf, {6, 5, 24, 16}, {1, 1, 24, 16}, {1, 1, 24, 4}));
  // More than what is gathered, compressed or brought together at once.
  out.push_back(array({"params", "params", "large"}, kHalf, {1700, 1200}, {1700, 1200}, {1700, 600}));
  out.push_back(array({"params", "params", "many"}, DType::kS32, {300}, {1}));
  out.push_back(array({"step"}, DType::kS64, {}, {}));
  out.back().scalar = true;
  return out;
}

HostArray values_of(const StoredArraySpec& spec, uint32_t seed) {
  HostArray out = HostArray::allocate(spec.dtype, spec.sizes);
  std::mt19937 random(seed);
  for (int64_t i = 0; i < out.bytes(); ++i) {
    // Half of them small, so that something can be compressed.
    const uint32_t bits = random();
    out.mutable_data()[i] = static_cast<std::byte>(spec.dtype == DType::kBool ? bits & 1 : bits >> (bits & 1 ? 8 : 30));
  }
  return out;
}

// A chunk of an array: zeros where it stands over the end.
HostArray chunk_of(const HostArray& whole, const StoredArraySpec& spec, const Sizes& place) {
  HostArray out = HostArray::allocate(spec.dtype, spec.chunk);
  std::fill_n(out.mutable_data(), out.bytes(), std::byte{0});
  ArraySlice from, to;
  for (size_t axis = 0; axis < place.size(); ++axis) {
    from.start.push_back(place[axis] * spec.chunk[axis]);
    from.sizes.push_back(std::min(spec.chunk[axis], spec.sizes[axis] - from.start.back()));
  }
  to = {.start = Sizes(place.size(), 0), .sizes = from.sizes};
  paste(out, to, cut(whole, from));
  return out;
}

struct Case {
  std::string name;
  OrbaxOptions options = {};
};

std::vector<Case> cases() {
  std::vector<Case> out;
  for (bool ocdbt : {true, false}) {
    for (bool zarr3 : {true, false}) {
      for (bool compress : {true, false}) {
        Case one = {.name = fmt::format("{}_{}_{}", ocdbt ? "ocdbt" : "plain", zarr3 ? "zarr3" : "zarr2",
                                        compress ? "zstd" : "raw")};
        one.options.ocdbt = ocdbt;
        one.options.zarr3 = zarr3;
        one.options.compress = compress;
        one.options.scan_layers = compress;
        out.push_back(std::move(one));
      }
    }
  }
  Case deep = {.name = "ocdbt_deep_tree"}, files = {.name = "ocdbt_many_files"};
  deep.options.max_node_bytes = 1000;
  files.options.data_file_bytes = 1 << 10;
  files.options.sync_bytes = 1 << 12;
  out.push_back(std::move(deep));
  out.push_back(std::move(files));
  for (Case& one : out) {
    one.options.empty = {{"opt_state"}, {"params", "params", "layers", "empty"}};
    one.options.none = {{"params", "none"}};
  }
  return out;
}

void write(const std::string& folder, const OrbaxOptions& options, const std::vector<HostArray>& values) {
  const std::vector<StoredArraySpec> specs = arrays();
  OrbaxWriter writer(folder, specs, options);
  auto write_array = [&](size_t i) {
    Sizes grid;
    int64_t count = 1;
    for (size_t axis = 0; axis < specs[i].sizes.size(); ++axis) {
      grid.push_back((specs[i].sizes[axis] + specs[i].chunk[axis] - 1) / specs[i].chunk[axis]);
      count *= grid.back();
    }
    for (int64_t n = 0; n < count; ++n) {
      Sizes place(grid.size());
      for (int64_t axis = std::ssize(grid) - 1, rest = n; axis >= 0; rest /= grid[static_cast<size_t>(axis--)]) {
        place[static_cast<size_t>(axis)] = rest % grid[static_cast<size_t>(axis)];
      }
      if (writer.has(i, place)) continue;
      const HostArray chunk = chunk_of(values[i], specs[i], place);
      writer.write(i, place, {chunk.data(), static_cast<size_t>(chunk.bytes())});
    }
  };
  std::future<void> second = std::async(std::launch::async, [&] {
    for (size_t i = 1; i < specs.size(); i += 2) write_array(i);
  });
  for (size_t i = 0; i < specs.size(); i += 2) write_array(i);
  second.get();
  writer.finish();
}

void write_all(const std::string& out, const std::string& folders, const std::set<std::string>& names) {
  Json expected = {{"cases", Json::array()}, {"arrays", Json::array()}};
  std::vector<HostArray> values;
  std::filesystem::create_directories(out + "/values");
  for (const StoredArraySpec& spec : arrays()) {
    values.push_back(values_of(spec, static_cast<uint32_t>(values.size())));
    const std::string file = fmt::format("{}/values/{}", out, values.size() - 1);
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(values.back().data()), values.back().bytes());
    expected["arrays"].push_back({{"path", spec.path},
                                  {"dtype", name(spec.dtype)},
                                  {"shape", spec.sizes},
                                  {"chunk", spec.chunk},
                                  {"file", file}});
  }
  for (const Case& one : cases()) {
    if (!names.empty() && !names.contains(one.name)) continue;
    write(fmt::format("{}/{}/0", folders, one.name), one.options, values);
    expected["cases"].push_back({{"name", one.name},
                                 {"ocdbt", one.options.ocdbt},
                                 {"zarr3", one.options.zarr3},
                                 {"scan_layers", one.options.scan_layers.value_or(false)},
                                 {"says_scan_layers", one.options.scan_layers.has_value()},
                                 {"empty", one.options.empty},
                                 {"none", one.options.none}});
  }
  std::ofstream(out + "/expected.json") << expected.dump(1);
}

}  // namespace
}  // namespace fathom

int main(int count, char** words) {
  try {
    const std::vector<std::string> arguments(words + 1, words + count);
    if (arguments.empty()) throw std::invalid_argument("usage: write_orbax_folders OUT [FOLDERS [CASE...]]");
    const size_t named = std::min<size_t>(arguments.size(), 2);
    fathom::write_all(arguments[0], arguments[named - 1], {arguments.begin() + named, arguments.end()});
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
