// Random numbers that are a function of a key and a counter: no state, so any of them can be had in any order.
#pragma once

#include <cstdint>

namespace fathom {

// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64 bits in which every input bit moves every output
// bit.
constexpr uint64_t mix_bits(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// 64 random bits number `counter` of the stream `key`. Neighbouring keys and counters give unrelated bits.
constexpr uint64_t random_bits(uint64_t key, uint64_t counter) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio, odd
  return mix_bits(mix_bits(key + kGolden) ^ (counter * kGolden + 1));
}

// Maps 32 of the bits to [0, n), 0 < n <= 2^31: a value is favoured by at most n / 2^32.
constexpr uint32_t below(uint64_t bits, uint32_t n) { return static_cast<uint32_t>(((bits >> 32) * n) >> 32); }

}  // namespace fathom
