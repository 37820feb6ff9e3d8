#include "convert/compare_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>

#include "base/parallel_for.h"
#include "convert/hf_weights.h"
#include "convert/weight_source.h"

namespace fathom {
namespace {

constexpr int64_t kPieceElements = int64_t{4} << 20;

// Rows of a tensor of a Hugging Face folder as a box of one of our arrays.
struct Piece {
  std::string name;
  size_t array = 0;
  ArraySlice box;
};

std::vector<Piece> pieces_of(const WantedWeights& wanted) {
  std::vector<Piece> out;
  for (size_t i = 0; i < wanted.arrays.size(); ++i) {
    const ParamArray& array = wanted.arrays[i];
    const Param& row = wanted.table[array.row];
    const std::vector<int64_t> sizes = array.type.shape.sizes();
    const std::vector<HfPart> parts = hf_parts(wanted.config, row, array);
    const size_t leading = axes_of_parts(row, array);
    for (size_t k = 0; k < parts.size(); ++k) {
      ArraySlice box{std::vector<int64_t>(sizes.size()), sizes};
      auto rest = static_cast<int64_t>(k);
      for (size_t axis = leading; axis-- > 0; rest /= sizes[axis]) {
        box.start[axis] = rest % sizes[axis];
        box.sizes[axis] = 1;
      }
      if (leading == sizes.size()) {
        out.push_back({parts[k].name, i, std::move(box)});
        continue;
      }
      const int64_t rows = std::max<int64_t>(kPieceElements * sizes[leading] / std::max<int64_t>(box.elements(), 1), 1);
      for (int64_t row_at = 0; row_at < sizes[leading]; row_at += rows) {
        box.start[leading] = row_at;
        box.sizes[leading] = std::min(rows, sizes[leading] - row_at);
        out.push_back({parts[k].name, i, box});
      }
    }
  }
  return out;
}

HostArray read(const WeightSource& source, const Piece& piece) {
  HostArray out = HostArray::allocate(DType::kF32, piece.box.sizes);
  const SliceMemory memory{piece.box, out.mutable_data()};
  source.fill(piece.array, {&memory, 1});
  return out;
}

struct Difference {
  std::string only_in;  // empty: both have the tensor
  int64_t numbers = 0;
  float largest = 0;
};

class Comparison {
 public:
  void only_in(const std::string& name, const std::string& folder) {
    std::lock_guard lock(mutex_);
    found_[name].only_in = folder;
  }
  void add(const std::string& name, int64_t numbers, float largest, int64_t bytes) {
    std::lock_guard lock(mutex_);
    bytes_ += bytes;
    if (numbers == 0) return;
    Difference& difference = found_[name];
    difference.numbers += numbers;
    difference.largest = std::max(difference.largest, largest);
  }
  WeightsDifferences result() const {
    WeightsDifferences out{.count = std::ssize(found_), .lines = {}, .bytes = bytes_};
    for (const auto& [name, d] : found_) {
      if (!d.only_in.empty()) out.lines.push_back(fmt::format("{}: only in {}", name, d.only_in));
    }
    for (const auto& [name, d] : found_) {
      if (!d.only_in.empty()) continue;
      out.lines.push_back(fmt::format("{}: {} numbers differ, by {:g} at most", name, d.numbers, d.largest));
    }
    if (out.lines.size() > kListedDifferences) out.lines.resize(kListedDifferences);
    return out;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Difference> found_;
  int64_t bytes_ = 0;
};

void compare(const WeightSource& a, const WeightSource& b, const Piece& piece, Comparison& comparison) {
  const HostArray x = read(a, piece), y = read(b, piece);
  const auto left = x.view<float>(), right = y.view<float>();
  int64_t differing = 0;
  float largest = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    differing += std::bit_cast<uint32_t>(left[i]) == std::bit_cast<uint32_t>(right[i]) ? 0 : 1;
    largest = std::max(largest, std::abs(left[i] - right[i]));
  }
  comparison.add(piece.name, differing, largest, x.bytes() + y.bytes());
}

}  // namespace

WeightsDifferences compare_models(const std::string& a, const std::string& b, ModelConfig config) {
  config.weight_dtype = DType::kF32;
  config.prediction_layers = std::max(prediction_modules(a), prediction_modules(b));
  const std::vector<Param> table = param_table(config);
  const std::vector<ParamArray> arrays = param_arrays(config, table);
  const WantedWeights wanted{
      .config = config, .table = table, .arrays = arrays, .may_miss = [](const Param&) { return true; }};
  const auto left = open_weights(a, wanted), right = open_weights(b, wanted);
  auto lacks = [](const WeightSource& source, size_t array) {
    return std::ranges::find(source.missing(), array) != source.missing().end();
  };
  Comparison comparison;
  const std::vector<Piece> pieces = pieces_of(wanted);
  parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const bool in_a = !lacks(*left, piece.array), in_b = !lacks(*right, piece.array);
    if (in_a && in_b) return compare(*left, *right, piece, comparison);
    if (in_a || in_b) comparison.only_in(piece.name, in_a ? a : b);
  });
  return comparison.result();
}

}  // namespace fathom
