#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fathom {

YarnRamp yarn_ramp(const RopeOptions& o) {
  const Yarn& yarn = *o.yarn;
  // The pair that makes `rotations` turns over the original length.
  auto pair_of = [&](double rotations) {
    return static_cast<double>(o.dim) * std::log(yarn.original_length / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(o.theta));
  };
  double low = pair_of(yarn.beta_fast), high = pair_of(yarn.beta_slow);
  if (yarn.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  return {std::max(low, 0.0), std::min(high, static_cast<double>(o.dim - 1))};
}

namespace {

// Radians a position for each pair, f32 [pair].
Value frequencies(Graph& g, const RopeOptions& o, Where where) {
  Shape pairs{{"pair", o.dim / 2}};
  Value pair = iota(g, DType::kF32, pairs, "pair", where);
  Value base = constant(g, o.theta, {DType::kF32, pairs}, where);
  Value full = pow(base, pair * (-2.0 / static_cast<double>(o.dim)));
  if (!o.yarn) return full;
  auto [low, high] = yarn_ramp(o);
  // 0 below the ramp (full frequency), 1 above it (slowed).
  Value ramp = clamp(0, (pair - low) / std::max(high - low, 0.001), 1);
  return full * (1 / o.yarn->factor) * ramp + full * (1 - ramp);
}

}  // namespace

RopeTables rope_tables(Value positions, const RopeOptions& options, Where where) {
  Value turn = frequencies(positions.graph(), options, where);
  std::vector<Axis> axes = positions.shape().axes();
  axes.push_back(turn.shape()[0]);
  Value angle = broadcast(convert(positions, DType::kF32, where), Shape(axes), where) * turn;
  Value c = cos(angle), s = sin(angle);
  if (options.magnitude != 1) {
    c = c * options.magnitude;
    s = s * options.magnitude;
  }
  return {c, s};
}

namespace {

// x [.. pair half] or [.. half pair]: each pair turned; first halves, then second halves along `axis`, in x's type.
Value rotated(Value x, DType dtype, std::string_view axis, const RopeTables& tables, Where where) {
  auto halves = split(x, "half", {1, 1}, where);
  Value a = squeeze(halves[0], "half", where), b = squeeze(halves[1], "half", where);
  Value turned_a = a * tables.cos - b * tables.sin;
  Value turned_b = a * tables.sin + b * tables.cos;
  Value both = concatenate({turned_a, turned_b}, "pair", where);
  return convert(rename(both, "pair", axis, where), dtype, where);
}

}  // namespace

Value rotate_pairs(Value x, std::string_view axis, const RopeTables& tables, Where where) {
  Value wide = convert(x, DType::kF32, where);
  wide = split_axis(wide, axis, {{"pair", x.size(axis) / 2}, {"half", 2}}, where);
  return rotated(wide, x.dtype(), axis, tables, where);
}

Value rotate_halves(Value x, std::string_view axis, const RopeTables& tables, Where where) {
  Value wide = convert(x, DType::kF32, where);
  wide = split_axis(wide, axis, {{"half", 2}, {"pair", x.size(axis) / 2}}, where);
  return rotated(wide, x.dtype(), axis, tables, where);
}

}  // namespace fathom
