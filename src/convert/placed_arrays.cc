#include "convert/placed_arrays.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>

#include "base/error.h"
#include "base/strided_copy.h"
#include "convert/checked_copy.h"

namespace fathom {
namespace {

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

}  // namespace

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

bool holds(const OrbaxFolder& folder, const PeerForm& form) {
  return std::ranges::all_of(form, [&](const PeerPlace& p) { return folder.find(p.name) != nullptr; });
}

std::vector<PlacedArray> sources_of(const OrbaxFolder& folder, const PeerForm& form) {
  std::vector<PlacedArray> out;
  for (const PeerPlace& place : form) out.push_back({folder.find(place.name), place});
  return out;
}

void read_places(const OrbaxFolder& folder, const ParamArray& array, std::span<const PlacedArray> places,
                 std::span<const SliceMemory> slices) {
  const DType wanted = array.type.dtype;
  for (const PlacedArray& source : places) {
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
    folder.read(*source.stored, boxes, [&](const StoredPiece& piece) {
      thread_local std::vector<std::byte> memory;
      const std::byte* data = nullptr;
      if (!as_wanted(piece, source.stored->dtype, wanted, memory, data)) finite = false;
      scatter(piece, data, byte_size(wanted), targets);
    });
    if (!finite) {
      throw FormatError(folder.path(),
                        fmt::format("{} ({}) holds numbers that are not finite", array.name, source.stored->name));
    }
  }
}

}  // namespace fathom
