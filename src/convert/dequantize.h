// Numbers stored as codes of 8 or 4 bits that share a scale: code x scale in float32 (subnormals kept, infinite where
// it is too large), rounded to nearest even as bfloat16. The result does not depend on the processor.
#pragma once

#include <array>
#include <cfenv>
#include <cstdint>
#include <span>

namespace fathom {

// The number that a byte of type float8_e4m3fn is; 0x7f and 0xff are NaN.
float float_of_e4m3fn(uint8_t code);

// The scale that a byte is which holds an exponent alone (E8M0): 2^(byte - 127); 255 is NaN.
float float_of_e8m0(uint8_t exponent);

// A scale of float8 codes made ready for many of them.
class Fp8Scale {
 public:
  explicit Fp8Scale(float scale);

  float scale() const { return scale_; }
  // Whether every product of it with a code is a normal number: then the eight mantissas of e4m3 make, at any exponent,
  // eight mantissas of bfloat16. `low` and `high` hold the bytes of the products with the codes 8 ... 15 (exponent 1)
  // and then 0 ... 7 (subnormal codes).
  bool in_range() const { return in_range_; }
  const std::array<uint8_t, 16>& low() const { return low_; }
  const std::array<uint8_t, 16>& high() const { return high_; }

 private:
  float scale_;
  bool in_range_;
  alignas(16) std::array<uint8_t, 16> low_ = {};
  alignas(16) std::array<uint8_t, 16> high_ = {};
};

// A piece of a row of a matrix whose columns share scales `block` by `block`.
struct ScaledRow {
  int64_t column = 0;  // of the first code, counted from the beginning of scales[0]'s block
  int64_t count = 0;
  int64_t block = 128;
};

// Writes row.count numbers of bfloat16. A code that is NaN, or whose scale is, becomes a quiet NaN. Gives how many
// codes were NaN.
int64_t dequantize_fp8(const ScaledRow& row, const uint8_t* codes, std::span<const Fp8Scale> scales, uint16_t* out);

// The same for FP4 (e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives), two codes a byte, the low half first:
// `packed` holds the byte of the first column, which is even in its block. FP4 has no code for NaN.
void dequantize_fp4(const ScaledRow& row, const uint8_t* packed, std::span<const float> scales, uint16_t* out);

// While one lives, float32 arithmetic of this thread rounds to nearest even and keeps subnormal numbers, whatever a
// library has set. The functions above need it.
class SubnormalsKept {
 public:
  SubnormalsKept();
  ~SubnormalsKept();
  SubnormalsKept(const SubnormalsKept&) = delete;
  SubnormalsKept& operator=(const SubnormalsKept&) = delete;

 private:
  std::fenv_t before_;
};

}  // namespace fathom
