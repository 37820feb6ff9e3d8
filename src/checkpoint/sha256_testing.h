// SHA-256, as listings of checkpoints give it.
#pragma once

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// The first 32 bits of the fractional part of a root of each of the first primes.
template <size_t kCount>
std::array<uint32_t, kCount> sha256_roots(double (*root)(double)) {
  std::array<uint32_t, kCount> out{};
  size_t found = 0;
  for (int n = 2; found < kCount; ++n) {
    bool is_prime = true;
    for (int d = 2; d * d <= n; ++d) is_prime = is_prime && n % d != 0;
    if (!is_prime) continue;
    const double value = root(n);
    out[found++] = static_cast<uint32_t>((value - std::floor(value)) * 4294967296.0);
  }
  return out;
}

inline void sha256_block(std::array<uint32_t, 8>& state, const char* block) {
  static const auto kRounds = sha256_roots<64>([](double n) { return std::cbrt(n); });
  std::array<uint32_t, 64> w{};
  for (size_t i = 0; i < 64; ++i) w[i / 4] = w[i / 4] << 8 | static_cast<uint8_t>(block[i]);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t t =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + kRounds[i] + w[i];
    const uint32_t u = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t;
    d = c;
    c = b;
    b = a;
    a = t + u;
  }
  const std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state[i] += added[i];
}

inline std::string sha256(std::string_view bytes) {
  std::string text(bytes);
  text += '\x80';
  while (text.size() % 64 != 56) text += '\0';
  for (int i = 7; i >= 0; --i) text += static_cast<char>(uint64_t{bytes.size()} * 8 >> (8 * i));
  auto state = sha256_roots<8>([](double n) { return std::sqrt(n); });
  for (size_t at = 0; at < text.size(); at += 64) sha256_block(state, text.data() + at);
  std::string out;
  for (uint32_t word : state) out += fmt::format("{:08x}", word);
  return out;
}

}  // namespace fathom
