#include "convert/orbax_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/strided_copy.h"
#include "convert/checked_copy.h"
#include "convert/weight_findings.h"

namespace fathom {
namespace {

constexpr std::string_view kParams = "params.params.";

// The part of a stored array that a slice of ours comes from; nothing where it needs none of it.
std::optional<ArraySlice> stored_slice(const PeerPlace& place, const ArraySlice& slice) {
  if (place.our_layer >= 0 &&
      (place.our_layer < slice.start[0] || place.our_layer >= slice.start[0] + slice.sizes[0])) {
    return std::nullopt;
  }
  ArraySlice out;
  for (int axis : place.axes) {
    out.start.push_back(axis < 0 ? place.layer : slice.start[static_cast<size_t>(axis)]);
    out.sizes.push_back(axis < 0 ? 1 : slice.sizes[static_cast<size_t>(axis)]);
  }
  if (std::ranges::find(out.sizes, 0) != out.sizes.end()) return std::nullopt;
  return out;
}

// A slice of ours, and where its elements stand in a stored array.
class Target {
 public:
  Target(const PeerPlace& place, const SliceMemory& memory, ArraySlice stored)
      : data_(memory.data), stored_(std::move(stored)) {
    const std::vector<int64_t> ours = row_major_strides(memory.slice.sizes);
    for (int axis : place.axes) strides_.push_back(axis < 0 ? 0 : ours[static_cast<size_t>(axis)]);
    if (place.our_layer >= 0) offset_ = (place.our_layer - memory.slice.start[0]) * ours[0];
  }
  const ArraySlice& stored() const { return stored_; }

  // Takes what it wants of a box of elements at `from`, which lie `strides` apart.
  void take(const ArraySlice& box, std::span<const int64_t> strides, const std::byte* from, int64_t width) const {
    const std::optional<ArraySlice> part = intersection(box, stored_);
    if (!part) return;
    std::vector<StridedAxis> axes;
    int64_t source = 0, target = offset_;
    for (size_t i = 0; i < strides.size(); ++i) {
      axes.push_back({part->sizes[i], strides[i], strides_[i]});
      source += (part->start[i] - box.start[i]) * strides[i];
      target += (part->start[i] - stored_.start[i]) * strides_[i];
    }
    strided_copy(width, from + source * width, data_ + target * width, axes);
  }

 private:
  std::byte* data_;
  ArraySlice stored_;
  std::vector<int64_t> strides_;  // in the slice's memory, for each stored axis
  int64_t offset_ = 0;
};

// The elements of a piece in the wanted type; false when one of them is not finite. `memory` keeps those converted.
bool as_wanted(const StoredPiece& piece, DType stored, DType wanted, std::vector<std::byte>& memory,
               const std::byte*& data) {
  data = piece.data;
  if (stored == wanted) return all_finite(stored, piece.data, piece.count);
  memory.resize(static_cast<size_t>(piece.count * byte_size(wanted)));
  data = memory.data();
  return copy_checked(stored, piece.data, wanted, memory.data(), piece.count);
}

void scatter(const StoredPiece& piece, const std::byte* data, int64_t width, std::span<const Target> targets) {
  const std::vector<int64_t> strides = row_major_strides(piece.box->sizes);
  for_each_box_of_run(piece.box->sizes, piece.first, piece.count,
                      [&](std::span<const int64_t> start, std::span<const int64_t> sizes) {
                        ArraySlice box{{start.begin(), start.end()}, {sizes.begin(), sizes.end()}};
                        int64_t at = -piece.first;
                        for (size_t i = 0; i < strides.size(); ++i) {
                          at += start[i] * strides[i];
                          box.start[i] += piece.box->start[i];
                        }
                        for (const Target& t : targets) t.take(box, strides, data + at * width, width);
                      });
}

// What is wrong with the stored arrays of one form; nothing when they fit.
std::optional<std::string> misfit(const OrbaxFolder& folder, const PeerForm& form) {
  for (const PeerPlace& place : form) {
    const StoredArray& stored = *folder.find(place.name);
    if (stored.sizes != place.sizes) {
      return fmt::format("{}: [{}] in the checkpoint, [{}] in the model", place.name, fmt::join(stored.sizes, ", "),
                         fmt::join(place.sizes, ", "));
    }
    if (!is_float(stored.dtype)) return fmt::format("{}: {} is not floating-point", place.name, name(stored.dtype));
  }
  return std::nullopt;
}

bool is_there(const OrbaxFolder& folder, const PeerForm& form) {
  return std::ranges::all_of(form, [&](const PeerPlace& p) { return folder.find(p.name) != nullptr; });
}

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
      if (!is_there(folder_, form)) continue;
      std::optional<std::string> misfits = misfit(folder_, form);
      if (misfits) {
        if (!wrong) wrong = std::move(misfits);
        continue;
      }
      // A square bias fits either order of its axes: the same array is no copy of itself.
      if (!out.sources.empty() && out.sources[0].place.name == form[0].name) continue;
      std::vector<Source>& sources = out.sources.empty() ? out.sources : out.copy;
      if (!sources.empty()) continue;
      for (const PeerPlace& place : form) sources.push_back({folder_.find(place.name), place});
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
  read(array, array.sources, slices);
}

void OrbaxWeights::read(const Array& array, std::span<const Source> sources,
                        std::span<const SliceMemory> slices) const {
  const DType wanted = array.array.type.dtype;
  for (const Source& source : sources) {
    std::vector<Target> targets;
    std::vector<ArraySlice> boxes;
    for (const SliceMemory& memory : slices) {
      std::optional<ArraySlice> stored = stored_slice(source.place, memory.slice);
      if (!stored) continue;
      boxes.push_back(*stored);
      targets.emplace_back(source.place, memory, std::move(*stored));
    }
    if (targets.empty()) continue;
    std::atomic<bool> finite = true;
    folder_.read(*source.stored, boxes, [&](const StoredPiece& piece) {
      thread_local std::vector<std::byte> memory;
      const std::byte* data = nullptr;
      if (!as_wanted(piece, source.stored->dtype, wanted, memory, data)) finite = false;
      scatter(piece, data, byte_size(wanted), targets);
    });
    if (!finite) {
      throw FormatError(folder_.path(), fmt::format("{} ({}) holds numbers that are not finite", array.array.name,
                                                    source.stored->name));
    }
  }
}

void OrbaxWeights::warn_of_other_copies() const {
  for (const Array& array : arrays_) {
    if (array.copy.empty()) continue;
    const std::vector<int64_t> sizes = array.array.type.shape.sizes();
    HostArray used = HostArray::allocate(array.array.type.dtype, sizes);
    HostArray other = HostArray::allocate(array.array.type.dtype, sizes);
    const ArraySlice whole{std::vector<int64_t>(sizes.size(), 0), sizes};
    const SliceMemory into_used{whole, used.mutable_data()}, into_other{whole, other.mutable_data()};
    read(array, array.sources, {&into_used, 1});
    read(array, array.copy, {&into_other, 1});
    if (std::memcmp(used.data(), other.data(), static_cast<size_t>(used.bytes())) == 0) continue;
    log_warning("{}: {} differs from {}, which is used", folder_.path(), array.copy[0].place.name,
                array.sources[0].place.name);
  }
}

std::vector<int64_t> OrbaxWeights::grain(size_t index) const {
  const Array& array = arrays_[index];
  const std::vector<int64_t> sizes = array.array.type.shape.sizes();
  std::vector<int64_t> out(sizes.size(), 1);
  for (const Source& source : array.sources) {
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
