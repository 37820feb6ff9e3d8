#include "convert/orbax_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "convert/weight_findings.h"

namespace fathom {
namespace {

constexpr std::string_view kParams = "params.params.";

// All names that a checkpoint of the model may hold among its parameters, parts that this run leaves off included.
std::set<std::string> known_names(const OrbaxFolder& folder, const WantedWeights& wanted) {
  ModelConfig all = wanted.config;
  all.indexer = true;
  all.prediction_layers = std::max(all.prediction_layers, prediction_modules(folder));
  const std::vector<Param> table = param_table(all);
  std::set<std::string> out;
  for (const ParamArray& array : param_arrays(all, table)) {
    for (const PeerForm& form : peer_forms(all, table[array.row], array, wanted.scan_axis)) {
      for (const PeerPlace& place : form) out.insert(place.name);
    }
  }
  return out;
}

}  // namespace

OrbaxWeights::OrbaxWeights(OrbaxFolder folder, const WantedWeights& wanted) : folder_(std::move(folder)) {
  WeightFindings findings;
  for (size_t i = 0; i < wanted.arrays.size(); ++i) {
    const ParamArray& array = wanted.arrays[i];
    const Param& row = wanted.table[array.row];
    Array& out = arrays_.emplace_back(Array{.array = array, .sources = {}, .copy = {}});
    const std::vector<PeerForm> forms = peer_forms(wanted.config, row, array, wanted.scan_axis);
    std::optional<std::string> wrong;
    for (const PeerForm& form : forms) {
      if (!holds(folder_, form)) continue;
      std::optional<std::string> misfits = misfit(folder_, form);
      if (misfits) {
        if (!wrong) wrong = std::move(misfits);
        continue;
      }
      // A square bias fits either order of its axes: the same array is no copy of itself.
      if (!out.sources.empty() && out.sources[0].place.name == form[0].name) continue;
      std::vector<PlacedArray>& sources = out.sources.empty() ? out.sources : out.copy;
      if (!sources.empty()) continue;
      sources = sources_of(folder_, form);
    }
    if (!out.sources.empty()) continue;
    if (wrong) {
      findings.add("misshapen", *wrong);
    } else if (wanted.may_miss(row)) {
      missing_.push_back(i);
    } else {
      // Of several places the one among the parameters.
      findings.add(
          "missing",
          std::ranges::find_if(forms, [](const PeerForm& f) { return f[0].name.starts_with(kParams); })->front().name);
    }
  }
  const std::set<std::string> known = known_names(folder_, wanted);
  for (const StoredArray& stored : folder_.arrays()) {
    if (stored.name.starts_with(kParams) && !known.contains(stored.name)) findings.add("extra", stored.name);
  }
  findings.report(folder_.path());
}

void OrbaxWeights::fill(size_t index, std::span<const SliceMemory> slices) const {
  const Array& array = arrays_[index];
  read_places(folder_, array.array, array.sources, slices);
}

void OrbaxWeights::warn_of_other_copies() const {
  for (const Array& array : arrays_) {
    if (array.copy.empty()) continue;
    const std::vector<int64_t> sizes = array.array.type.shape.sizes();
    HostArray used = HostArray::allocate(array.array.type.dtype, sizes);
    HostArray other = HostArray::allocate(array.array.type.dtype, sizes);
    const ArraySlice whole{std::vector<int64_t>(sizes.size(), 0), sizes};
    const SliceMemory into_used{whole, used.mutable_data()}, into_other{whole, other.mutable_data()};
    read_places(folder_, array.array, array.sources, {&into_used, 1});
    read_places(folder_, array.array, array.copy, {&into_other, 1});
    if (std::memcmp(used.data(), other.data(), static_cast<size_t>(used.bytes())) == 0) continue;
    log_warning("{}: {} differs from {}, which is used", folder_.path(), array.copy[0].place.name,
                array.sources[0].place.name);
  }
}

std::vector<int64_t> OrbaxWeights::grain(size_t index) const {
  const Array& array = arrays_[index];
  const std::vector<int64_t> sizes = array.array.type.shape.sizes();
  std::vector<int64_t> out(sizes.size(), 1);
  for (const PlacedArray& source : array.sources) {
    for (size_t i = 0; i < source.place.axes.size(); ++i) {
      if (source.place.axes[i] < 0) continue;
      const auto axis = static_cast<size_t>(source.place.axes[i]);
      out[axis] = std::min(std::lcm(out[axis], std::min(source.stored->chunk[i], sizes[axis])), sizes[axis]);
    }
  }
  return out;
}

int64_t prediction_modules(const OrbaxFolder& folder) {
  int64_t count = 0;
  while (folder.find(fmt::format("{0}mtp_block.mtp_layer_{1}.mtp_{1}_projection.kernel", kParams, count + 1))) ++count;
  return count;
}

}  // namespace fathom
