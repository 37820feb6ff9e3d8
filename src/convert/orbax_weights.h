// Parameters from a checkpoint of MaxText's form: names, shapes and order of axes come from the parameter table.
#pragma once

#include <span>
#include <vector>

#include "checkpoint/orbax_folder.h"
#include "convert/placed_arrays.h"
#include "convert/weight_source.h"

namespace fathom {

class OrbaxWeights : public WeightSource {
 public:
  // As open_weights().
  OrbaxWeights(OrbaxFolder folder, const WantedWeights& wanted);

  void fill(size_t index, std::span<const SliceMemory> slices) const override;
  const std::vector<size_t>& missing() const override { return missing_; }
  void warn_of_other_copies() const override;
  std::vector<int64_t> grain(size_t index) const override;

 private:
  struct Array {
    ParamArray array;
    std::vector<PlacedArray> sources;
    std::vector<PlacedArray> copy;  // another place that holds the same
  };

  OrbaxFolder folder_;
  std::vector<Array> arrays_;
  std::vector<size_t> missing_;
};

// How many modules for multi-token prediction a checkpoint holds.
int64_t prediction_modules(const OrbaxFolder& folder);

}  // namespace fathom
