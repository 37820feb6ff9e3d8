#include "fused/fp8.h"

#include <algorithm>
#include <numeric>

namespace fathom {
namespace {

constexpr double kLargest = 448;     // of e4m3
constexpr double kLeastAmax = 1e-4;  // so that a block of zeros has a scale

// One entry of the runs. Its last axis is cut into pieces that never reach over the end of a run or of the axis, so
// that arrays of x's size have an axis split and no others joined: on a mesh they stay where they are.
struct Run {
  std::vector<Axis> outer;  // the axes before the last
  Axis last;
  int64_t piece = 0;   // places of a piece; the last piece of a lone axis is filled up with zeros
  int64_t pieces = 0;  // of the last axis
  int64_t joined = 0;  // pieces of a block

  Run(const Shape& shape, std::string_view names) {
    const std::vector<std::string> all = split_names(names);
    for (const std::string& name : all) outer.push_back(shape[shape.find(name)]);
    last = outer.back();
    outer.pop_back();
    piece = outer.empty() ? std::min(kFp8Block, last.size) : std::gcd(kFp8Block, last.size);
    pieces = (last.size + piece - 1) / piece;
    joined = outer.empty() ? 1 : kFp8Block / piece;
  }

  std::string piece_axis() const { return last.name + "_piece"; }
  std::string place_axis() const { return last.name + "_place"; }
  std::string run_axis() const { return last.name + "_run"; }
  std::string member_axis() const { return last.name + "_member"; }
  int64_t run_size() const { return Shape(outer).elements() * pieces; }
  int64_t padded_run() const { return (run_size() + joined - 1) / joined * joined; }

  // x with the last axis in pieces.
  Value cut(Value x) const {
    x = pad(x, last.name, 0, pieces * piece - last.size);
    return split_axis(x, last.name, {{piece_axis(), pieces}, {place_axis(), piece}});
  }
  Value uncut(Value x) const {
    x = merge_axes(x, piece_axis() + " " + place_axis(), last.name);
    return slice(x, last.name, 0, last.size);
  }

  // Of the largest number of each piece that of each block.
  Value of_blocks(Value amax) const {
    if (joined == 1) return amax;
    std::string names;
    for (const Axis& axis : outer) names += axis.name + " ";
    amax = merge_axes(amax, names + piece_axis(), run_axis());
    amax = pad(amax, run_axis(), 0, padded_run() - run_size());
    return reduce_max(split_axis(amax, run_axis(), {{run_axis(), -1}, {member_axis(), joined}}), member_axis());
  }
  // The other way: what is one number a block as one a piece.
  Value of_pieces(Value blocks) const {
    if (joined == 1) return blocks;
    std::vector<Axis> axes;
    for (const Axis& axis : blocks.shape()) {
      axes.push_back(axis);
      if (axis.name == run_axis()) axes.push_back({member_axis(), joined});
    }
    Value all = merge_axes(broadcast(blocks, Shape(axes)), run_axis() + " " + member_axis(), run_axis());
    all = slice(all, run_axis(), 0, run_size());
    std::vector<Axis> into = outer;
    into.push_back({piece_axis(), pieces});
    return split_axis(all, run_axis(), into);
  }
};

// |x| of f32 as s32: in the same order, and a number that is none is the largest.
Value magnitude_bits(Value x) {
  constexpr double kAllButSign = 0x7FFFFFFF;
  return logical_and(bitcast(x, DType::kS32), kAllButSign);
}

// Of f32 that is not negative.
Value power_of_two_below(Value x) {
  constexpr double kExponentBits = 0x7F800000;
  return bitcast(logical_and(bitcast(x, DType::kS32), kExponentBits), DType::kF32);
}

// v f32 -> the nearest number of e4m3. Adding 2^20 times a number's power of two leaves it three digits behind the
// first, rounded as every sum is; below 2^-6 there are as many as 2^-9 has. What was added is taken off in whole
// numbers, where no compiler can think that it does nothing.
Value nearest_e4m3(Value v) {
  constexpr double kLeastNormal = 0x1p-6;
  Value magnitude = minimum(bitcast(magnitude_bits(v), DType::kF32), kLargest);
  Value power = maximum(power_of_two_below(magnitude), kLeastNormal);
  Value added = power * 0x1p20;
  Value units = bitcast(magnitude + added, DType::kS32) - bitcast(added, DType::kS32);
  Value rounded = convert(units, DType::kF32) * (power * 0x1p-3);
  return select(less(v, 0), -rounded, rounded);
}

// x cut into pieces, as codes and scales of that shape; the latter without the axes inside a piece.
Fp8Numbers quantized_pieces(Value x, const std::vector<Run>& runs) {
  x = convert(x, DType::kF32);
  std::string places;
  for (const Run& run : runs) {
    x = run.cut(x);
    places += run.place_axis() + " ";
  }
  // The largest as whole numbers: compilers may pass over NaN where they compare floats.
  Value largest = reduce_max(magnitude_bits(x), places);
  for (const Run& run : runs) largest = run.of_blocks(largest);
  Value amax = bitcast(largest, DType::kF32);
  // What is added to the divisor is 0, so that it is no constant: XLA multiplies by the reciprocal of one, which rounds
  // twice. It is NaN where amax is not finite.
  Value scales = maximum(amax, kLeastAmax) / (amax * 0 + kLargest);
  for (const Run& run : runs) scales = run.of_pieces(scales);
  return {nearest_e4m3(x / scales), scales};
}

std::vector<Run> runs_of(const Shape& shape, const Fp8Runs& runs) {
  std::vector<Run> out;
  for (const std::string& names : runs) out.emplace_back(shape, names);
  return out;
}

Value uncut(Value x, const std::vector<Run>& runs) {
  for (const Run& run : runs) x = run.uncut(x);
  return x;
}

}  // namespace

Fp8Numbers fp8_quantized(Value x, const Fp8Runs& runs) {
  const std::vector<Run> cut = runs_of(x.shape(), runs);
  const Fp8Numbers pieces = quantized_pieces(x, cut);
  return {uncut(pieces.codes, cut), uncut(broadcast(pieces.scales, pieces.codes.shape()), cut)};
}

Value fp8_rounded(Value x, const Fp8Runs& runs) {
  const std::vector<Run> cut = runs_of(x.shape(), runs);
  const Fp8Numbers pieces = quantized_pieces(x, cut);
  return uncut(convert(pieces.codes * pieces.scales, x.dtype()), cut);
}

}  // namespace fathom
