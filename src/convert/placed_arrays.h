// Reading arrays of ours from the places where a checkpoint of MaxText's form holds them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/orbax_folder.h"
#include "convert/peer_places.h"

namespace fathom {

// A place and the stored array that is there.
struct PlacedArray {
  const StoredArray* stored = nullptr;
  PeerPlace place;
};

// Whether the folder has all arrays of a form.
bool holds(const OrbaxFolder& folder, const PeerForm& form);
// What is wrong with the arrays of a form, which are there; nothing when they fit.
std::optional<std::string> misfit(const OrbaxFolder& folder, const PeerForm& form);
// The arrays of a form, which are there. They point into the folder.
std::vector<PlacedArray> sources_of(const OrbaxFolder& folder, const PeerForm& form);

// Fills slices of an array of ours, converted to its type, in one pass on all cores. Throws FormatError that names the
// array for a number that is not finite, or the file.
void read_places(const OrbaxFolder& folder, const ParamArray& array, std::span<const PlacedArray> places,
                 std::span<const SliceMemory> slices);

}  // namespace fathom
