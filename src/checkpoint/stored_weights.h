// Weights on disk, whatever their format: names, types, shapes, and any part of their elements.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/array_slice.h"
#include "checkpoint/orbax_folder.h"
#include "checkpoint/safetensors_folder.h"

namespace fathom {

struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  int64_t bytes = 0;
  // "bfloat16"; the file's own spelling where dtype stands for bytes alone ("F8_E8M0").
  std::string_view type = {};
};

enum class WeightsFormat : uint8_t { kSafetensors, kOrbax };
// "safetensors", "orbax".
std::string_view name(WeightsFormat format);

class StoredWeights {
 public:
  // A Hugging Face folder, one .safetensors file, or an Orbax checkpoint; reads headers alone. Throws ConfigError when
  // the path is none of them, FormatError when it is one that is not whole.
  static StoredWeights open(const std::string& path);

  WeightsFormat format() const { return orbax_ ? WeightsFormat::kOrbax : WeightsFormat::kSafetensors; }
  const std::string& path() const { return path_; }
  // Sorted by name.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // Null when there is no such tensor.
  const StoredTensor* find(std::string_view name) const;
  // The Orbax checkpoint, or null.
  const OrbaxFolder* orbax() const { return orbax_ ? &*orbax_ : nullptr; }
  // Fills `out` with the elements of a box of a tensor, row-major. Thread-safe. Throws FormatError.
  void read(const StoredTensor& tensor, const ArraySlice& box, std::span<std::byte> out) const;

 private:
  std::string path_;
  std::vector<StoredTensor> tensors_;
  std::optional<TensorFolder> folder_;  // one of the three is set
  std::shared_ptr<const SafetensorsFile> file_;
  std::optional<OrbaxFolder> orbax_;
};

}  // namespace fathom
