// Random numbers as functions of a key and a counter, out of elementwise operations alone: what each device needs of
// them it computes, the same numbers on every mesh.
#include <array>
#include <cmath>
#include <numbers>

#include "graph/ops/build.h"

namespace fathom {
namespace {

constexpr uint64_t kWordRange = uint64_t{1} << 32;

void require_words(const Words& words, Where w) {
  for (const Value* word : {&words.first, &words.second}) {
    require_values(Op::kXor, std::span(word, 1), w);
    if (word->dtype() != DType::kU32) graph_error(Op::kXor, std::span(word, 1), "a random word is a u32", w);
  }
}

Value rotate_left(Value x, int bits, Where w) {
  return logical_or({shift_left({x, w}, {bits, w}), w}, {shift_right({x, w}, {32 - bits, w}), w});
}

// FNV-1a.
uint64_t hash_of(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char ch : text) h = (h ^ static_cast<unsigned char>(ch)) * 0x100000001b3u;
  return h;
}

// first + the row-major index over the axes [from, to) of the shape.
Value row_major(Graph& g, const Shape& shape, int from, int to, int64_t first, Where w) {
  Value index;
  for (int i = from; i < to; ++i) {
    Value place = iota(g, DType::kU32, shape, shape[i].name, w);
    index = index ? Operand(index, w) * Operand(shape[i].size, w) + Operand(place, w) : place;
  }
  if (!index) return constant(g, static_cast<double>(first), {DType::kU32, shape}, w);
  return first == 0 ? index : Operand(index, w) + Operand(first, w);
}

}  // namespace

Words threefry(const Words& key, const Words& counter, Where w) {
  require_words(key, w);
  require_words(counter, w);
  constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  constexpr int kInjections = 5;  // one every four rounds
  auto plus = [&](Value a, const Operand& b) { return Operand(a, w) + b; };
  Value parity = logical_xor({logical_xor({key.first, w}, {key.second, w}), w}, {0x1BD11BDA, w});
  const std::array<Value, 3> keys = {key.first, key.second, parity};
  Value x = plus(counter.first, {keys[0], w});
  Value y = plus(counter.second, {keys[1], w});
  for (size_t i = 0; i < kInjections; ++i) {
    for (int rotation : kRotations[i % 2]) {
      x = plus(x, {y, w});
      y = logical_xor({rotate_left(y, rotation, w), w}, {x, w});
    }
    x = plus(x, {keys[(i + 1) % 3], w});
    y = plus(y, {plus(keys[(i + 2) % 3], {i + 1, w}), w});
  }
  return {x, y};
}

Words rng_key(std::string_view for_name, Value seed, Where w) {
  require_values(Op::kXor, std::span(&seed, 1), w);
  if (seed.dtype() != DType::kU32 || seed.shape().sizes() != std::vector<int64_t>{2}) {
    graph_error(Op::kXor, std::span(&seed, 1), "a seed is two words of u32", w);
  }
  const std::string axis = seed.shape()[0].name;
  const uint64_t hash = hash_of(for_name);
  auto word = [&](int i, uint64_t name_bits) {
    Value own = squeeze(slice(seed, axis, i, i + 1, 1, w), axis, w);
    return logical_xor({own, w}, {name_bits, w});
  };
  return {word(0, hash / kWordRange), word(1, hash % kWordRange)};
}

Words element_counters(Graph& g, const Shape& shape, int outer, int64_t first, Where w) {
  uint64_t high = 1, low = 1;
  bool fits = first >= 0;
  for (int i = 0; i < shape.rank(); ++i) {
    uint64_t& product = i < outer ? high : low;
    fits = fits && !__builtin_mul_overflow(product, static_cast<uint64_t>(shape[i].size), &product);
  }
  if (!fits || low > kWordRange || high + static_cast<uint64_t>(first) > kWordRange) {
    graph_error(Op::kIota, {},
                fmt::format("a word does not count the elements of {} from {} on", shape.to_string(), first), w);
  }
  return {row_major(g, shape, 0, outer, first, w), row_major(g, shape, outer, shape.rank(), 0, w)};
}

Value random_uniform(const Words& bits, Where w) {
  require_words(bits, w);
  // 24 bits k: k - (2^23 - 1/2) is exact in a float, odd in halves, and as often positive as negative.
  Value k = bitcast(shift_right({bits.first, w}, {8, w}), DType::kS32, w);
  Value centred = Operand(convert(k, DType::kF32, w), w) - Operand(std::ldexp(1.0, 23) - 0.5, w);
  return Operand(centred, w) * Operand(std::ldexp(1.0, -23), w);
}

Value random_normal(const Words& bits, Where w) {
  require_words(bits, w);
  // Box and Muller (1958): sqrt(-2 log u) cos(2 pi v), u in (0, 1] and v in [0, 1].
  auto unit = [&](Value word, double from) {
    return (Operand(convert(word, DType::kF32, w), w) + Operand(from, w)) * Operand(std::ldexp(1.0, -32), w);
  };
  Value u = unit(bits.first, 0.5);
  Value v = unit(bits.second, 0);
  Value radius = sqrt({Operand(log({u, w}), w) * Operand(-2, w), w});
  return Operand(radius, w) * Operand(cos({Operand(v, w) * Operand(2 * std::numbers::pi, w), w}), w);
}

}  // namespace fathom
