// The next token from logits: maxtext.inference.decode's strategies.
#pragma once

#include <cstdint>
#include <span>

#include "config/config.h"

namespace fathom {

struct Sampling {
  DecodeStrategy strategy = DecodeStrategy::kGreedy;
  double temperature = 1;
  int64_t top_k = 0;
  double nucleus_p = -1;
  uint64_t seed = 0;
};
// As the decode_sampling_* keys say.
Sampling sampling_of(const Config& config, uint64_t seed);

// Which draw it is: the same seed, prompt and place give the same number, whatever runs beside it.
struct Draw {
  uint64_t prompt = 0;  // in the order of the input
  uint64_t place = 0;   // among the tokens that are made
};
// In [0, 1).
double uniform(uint64_t seed, const Draw& draw);

// The token that a strategy takes:
//   greedy     the first of the largest logits
//   weighted   drawn by softmax(logits / temperature)
//   topk       the same among the top_k largest, of equal ones the earlier
//   nucleus    the same among the logits not below the c-th largest, c counting from 0: as many tokens as have a
//              cumulative softmax (largest first, before the temperature) below nucleus_p
//   composite  the same among the first c + 1 of the top_k largest, their softmax being renormalised
// A temperature of 0 is taken as 1e-6. `logits` are finite.
int32_t sampled_token(const Sampling& sampling, std::span<const float> logits, const Draw& draw);

}  // namespace fathom
