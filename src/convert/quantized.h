// Weights of a folder that are codes with scales: float8 (e4m3) in blocks of 128 x 128, or FP4 (e2m1), two codes a
// byte, with a scale for 32 columns. They are read as bfloat16.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors_folder.h"

namespace fathom {

// Numbers that came out as NaN: because their codes are, or for their scale (NaN, or infinite for a code of 0).
struct NanNumbers {
  int64_t codes = 0;
  int64_t scaled = 0;
};

// A matrix, or several behind one another, of codes. It reads the files of the folder it comes from, which a copy of
// that folder keeps open.
class QuantizedTensor {
 public:
  struct Layout {
    bool fp4 = false;
    std::vector<int64_t> sizes;  // of the numbers: with FP4 the last is twice that of the bytes
    std::vector<int64_t> scale_sizes;
    int64_t block_rows = 0, block_columns = 0;  // that share a scale
  };

  QuantizedTensor(Layout layout, const SafetensorsFile& file, const TensorInfo& codes,
                  const SafetensorsFile& scale_file, const TensorInfo& scale);

  const std::vector<int64_t>& sizes() const { return layout_.sizes; }
  int64_t elements() const { return elements_; }
  int64_t scale_bytes() const { return scale_->bytes; }

  // The elements from `first` on (row-major), as many as `out` has, in bfloat16. Memory: a byte an element and a row of
  // scales. Thread-safe. Throws FormatError when a file was cut short meanwhile.
  NanNumbers read(int64_t first, std::span<uint16_t> out) const;

 private:
  struct Scratch;
  void load_scales(int64_t row, Scratch& scratch) const;

  Layout layout_;
  const SafetensorsFile* file_;
  const TensorInfo* codes_;
  const SafetensorsFile* scale_file_;
  const TensorInfo* scale_;
  int64_t elements_ = 1;
  uint64_t id_;  // no other tensor of this process has it
};

class Dequantizer {
 public:
  // Finds the scale of each tensor of codes, in whichever file: "X_scale_inv" of "X", or "Y.scale" of "Y.weight", in
  // float32, bfloat16 or as exponents (F8_E8M0, U8). The block is config.json's
  // quantization_config.weight_block_size, else 128 x 128. Throws one FormatError that lists FP8 tensors without a
  // scale, scales without a tensor, and those whose type or shape does not fit.
  explicit Dequantizer(const TensorFolder& folder);

  // Whether the folder has quantized tensors.
  bool any() const { return !tensors_.empty(); }
  // A scale of one of them: no tensor of the model.
  bool is_scale(std::string_view tensor) const { return scales_.contains(tensor); }
  // Null for a tensor that is stored as it is.
  const QuantizedTensor* find(std::string_view tensor) const;

 private:
  std::map<std::string, QuantizedTensor, std::less<>> tensors_;
  std::set<std::string, std::less<>> scales_;
};

}  // namespace fathom
