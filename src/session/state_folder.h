// A training state in a checkpoint of MaxText's form, read by slices.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/orbax_folder.h"
#include "convert/placed_arrays.h"
#include "program/state.h"

namespace fathom {

class StateFolder {
 public:
  // Checks names and shapes of all entries, and reads the counters. `spec` outlives this. Throws one FormatError that
  // lists what is missing, misshapen or too much: an entry may be missing where init_missing_parameters names its
  // parameter, and moments may be too much where their parameter is not trained any more.
  StateFolder(OrbaxFolder folder, const Config& config, const StateSpec& spec);

  const std::string& path() const { return folder_.path(); }
  // Steps done.
  int64_t step() const { return step_; }
  // Fills slices of an entry in one pass on all cores. Throws FormatError for a number that is not finite, or for a
  // file that is not whole. Thread-safe.
  void fill(size_t entry, std::span<const SliceMemory> slices) const;
  // Entries that are not there and begin as in a fresh run.
  const std::vector<size_t>& missing() const { return missing_; }
  // Names of moments that it holds of parameters that are not trained any more.
  const std::vector<std::string>& unused() const { return unused_; }

 private:
  void read_counters();

  const StateSpec& spec_;
  OrbaxFolder folder_;
  std::vector<std::vector<PlacedArray>> sources_;  // by entry
  std::vector<size_t> missing_;
  std::vector<std::string> unused_;
  int64_t step_ = 0;
};

}  // namespace fathom
