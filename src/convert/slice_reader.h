// Reads slices of an array that lies in many tensors of many files.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/array_slice.h"
#include "checkpoint/safetensors.h"
#include "convert/quantized.h"

namespace fathom {

// A tensor that holds the elements [begin, end) of the array, in its order, from its own element `from` on.
struct SliceSource {
  std::string_view tensor;
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
  int64_t begin = 0, end = 0;
  int64_t from = 0;
  const QuantizedTensor* quantized = nullptr;  // of codes: they are read as bfloat16 first

  // The type of the numbers that are read.
  DType stored() const { return quantized != nullptr ? DType::kBF16 : info->dtype; }
};

class SliceReader {
 public:
  // The memory of the slices, which do not overlap, is to be filled with numbers of type `dtype`.
  SliceReader(DType dtype, std::vector<int64_t> sizes, std::span<const SliceMemory> slices);

  void add(const SliceSource& source) { sources_.push_back(source); }
  // Reads everything, on all cores. Gives the first source with a number that is not finite, or null.
  const SliceSource* read() const;

 private:
  struct Target {
    SliceRuns runs;
    std::byte* data;
  };
  // What one thread takes at once: a part of one source.
  struct Task {
    const SliceSource* source = nullptr;
    int64_t begin = 0, end = 0;
  };
  // Elements that are contiguous in the array and in a slice.
  struct Piece {
    int64_t place = 0;  // in the array
    int64_t count = 0;
    std::byte* to = nullptr;
  };

  std::vector<Task> tasks() const;
  bool read_task(const Task& task) const;
  std::vector<Piece> pieces_of(int64_t begin, int64_t end) const;
  bool read_pieces(const SliceSource& source, std::span<const Piece> pieces) const;

  DType dtype_;
  std::vector<int64_t> sizes_;
  std::vector<Target> targets_;
  std::vector<SliceSource> sources_;
};

}  // namespace fathom
