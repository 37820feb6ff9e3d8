// Random numbers that are functions of a key and a shape (Threefry: Salmon et al., SC 2011), the same on every mesh.
#include <cmath>
#include <numbers>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

const Axis kWords{"word", 2};

// The generator's state: the key, and where it starts to count.
Value state_of(Value key, Where w) {
  require_values(Op::kRngBits, std::span(&key, 1), w);
  if (key.rank() != 0) return key;
  Value word = expand(key, kWords.name, w);
  return concatenate({word, zeros_like(word, w)}, kWords.name, w);
}

// Random bits in unsigned words of `type`.
Value bits(Value key, const TensorType& type, Where w) {
  Value state = state_of(key, w);
  if (type.shape.elements() == 0) return zeros(key.graph(), type, w);
  return key.graph().make(Op::kRngBits, {state}, TypeAttrs{type}, w).result(1);
}

// FNV-1a of the name, to 53 bits: a constant holds integers exactly up to there.
double hash_of(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char ch : text) h = (h ^ static_cast<unsigned char>(ch)) * 0x100000001b3u;
  return static_cast<double>((h ^ (h >> 53)) & ((uint64_t{1} << 53) - 1));
}

}  // namespace

Value rng_bits(Value key, const Shape& shape, Where w) { return bits(key, {DType::kU32, shape}, w); }

// Results: the next state, the bits.
Types infer_rng_bits(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  if (c.type().dtype != DType::kU64 || c.type().shape.sizes() != std::vector<int64_t>{2}) {
    c.fail("a key is one u64, or two");
  }
  if (to.dtype != DType::kU32 && to.dtype != DType::kU64) c.fail("makes u32 or u64, not " + to.to_string());
  return {c.type(), to};
}

Value rng_key(Graph& g, std::string_view for_name, Value seed, Where w) {
  require_values(Op::kRngBits, std::span(&seed, 1), w);
  if (seed.rank() != 0 || !is_integer(seed.dtype())) {
    graph_error(Op::kRngBits, std::span(&seed, 1), "a seed is one integer", w);
  }
  Value word = expand(convert(seed, DType::kU64, w), kWords.name, w);
  Value state = concatenate({word, constant(g, hash_of(for_name), word.type(), w)}, kWords.name, w);
  return squeeze(bits(state, word.type(), w), kWords.name, w);
}

Value random_uniform(Value key, const Shape& shape, Where w) {
  // 24 bits fill a float's mantissa exactly, so that 1 is never reached.
  Value high = shift_right({rng_bits(key, shape, w), w}, {8, w});
  return Operand(convert(high, DType::kF32, w), w) * Operand(std::ldexp(1.0, -24), w);
}

Value random_normal(Value key, const Shape& shape, Where w) {
  // Box and Muller (1958): sqrt(-2 log u) cos(2 pi v), u in (0, 1] and v in [0, 1] from the halves of 64 bits.
  Value both = bits(key, {DType::kU64, shape}, w);
  auto uniform = [&](Value half, double from) {
    return (Operand(convert(convert(half, DType::kU32, w), DType::kF32, w), w) + Operand(from, w)) *
           Operand(std::ldexp(1.0, -32), w);
  };
  Value u = uniform(shift_right({both, w}, {32, w}), 0.5);
  Value v = uniform(logical_and({both, w}, {4294967295u, w}), 0);
  Value radius = sqrt({Operand(log({u, w}), w) * Operand(-2, w), w});
  return Operand(radius, w) * Operand(cos({Operand(v, w) * Operand(2 * std::numbers::pi, w), w}), w);
}

}  // namespace fathom
