#include "convert/int8_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bf16.h"
#include "base/parallel_for.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

float value(const float* w, int64_t i) { return w[i]; }
float value(const uint16_t* w, int64_t i) { return bf16_to_float(w[i]); }

template <typename T>
void quantize_group(const T* w, int64_t count, int8_t* q, float& scale) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(value(w, i)));
  scale = most / 127;
  // The inverse of a number below the normal ones may be infinite: such a group is as good as zeros.
  if (scale < std::numeric_limits<float>::min()) scale = 0;
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (int64_t i = 0; i < count; ++i) q[i] = static_cast<int8_t>(std::nearbyint(value(w, i) * inverse));
}

template <typename T>
void quantize_row(const T* w, int64_t columns, int8_t* q, float* scales) {
  for (int64_t at = 0; at < columns; at += abi::kScaleGroup) {
    quantize_group(w + at, std::min(abi::kScaleGroup, columns - at), q + at, *scales++);
  }
}

// Rows for one thread at a time.
constexpr int64_t kRows = 64;

}  // namespace

void quantize_int8(DType dtype, const std::byte* weights, int64_t rows, int64_t columns, int8_t* q, float* scales) {
  const int64_t groups = (columns + abi::kScaleGroup - 1) / abi::kScaleGroup;
  parallel_for((rows + kRows - 1) / kRows, [&](int64_t task) {
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      if (dtype == DType::kF32) {
        quantize_row(reinterpret_cast<const float*>(weights) + r * columns, columns, q + r * columns,
                     scales + r * groups);
      } else {
        quantize_row(reinterpret_cast<const uint16_t*>(weights) + r * columns, columns, q + r * columns,
                     scales + r * groups);
      }
    }
  });
}

}  // namespace fathom
