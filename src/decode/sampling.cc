#include "decode/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;

// splitmix64 (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014).
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The `count` largest, the largest first; of equal ones the earlier.
Ids largest(std::span<const float> logits, int64_t count) {
  Ids ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = ids.begin() + std::min<int64_t>(count, std::ssize(ids));
  std::partial_sort(ids.begin(), end, ids.end(), before);
  ids.erase(end, ids.end());
  return ids;
}

// exp((logit - largest) / temperature) of each.
std::vector<double> weights_of(std::span<const float> logits, const Ids& ids, double temperature) {
  float top = logits[static_cast<size_t>(ids[0])];
  for (int32_t id : ids) top = std::max(top, logits[static_cast<size_t>(id)]);
  std::vector<double> out;
  out.reserve(ids.size());
  for (int32_t id : ids) {
    out.push_back(
        std::exp((static_cast<double>(logits[static_cast<size_t>(id)]) - static_cast<double>(top)) / temperature));
  }
  return out;
}

// How many of the weights, summed from the first one, stay below the share p of them all.
size_t below_mass(const std::vector<double>& weights, double p) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  size_t count = 0;
  for (double w : weights) {
    sum += w;
    if (sum >= p * total) break;
    ++count;
  }
  return std::min(count, weights.size() - 1);
}

int32_t drawn(std::span<const float> logits, const Ids& ids, double temperature, double uniform) {
  const std::vector<double> weights = weights_of(logits, ids, std::max(temperature, 1e-6));
  double left = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < ids.size(); ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  // Rounding alone gets here: the last one that can be drawn.
  size_t last = ids.size() - 1;
  while (last > 0 && weights[last] == 0) --last;
  return ids[last];
}

Ids nucleus(std::span<const float> logits, double p) {
  Ids ids = largest(logits, std::ssize(logits));
  size_t kept = below_mass(weights_of(logits, ids, 1), p) + 1;
  const float cutoff = logits[static_cast<size_t>(ids[kept - 1])];
  while (kept < ids.size() && logits[static_cast<size_t>(ids[kept])] == cutoff) ++kept;
  ids.resize(kept);
  return ids;
}

Ids composite(std::span<const float> logits, int64_t k, double p) {
  Ids ids = largest(logits, k);
  ids.resize(below_mass(weights_of(logits, ids, 1), p) + 1);
  return ids;
}

Ids candidates(const Sampling& s, std::span<const float> logits) {
  switch (s.strategy) {
    case DecodeStrategy::kGreedy:
      return largest(logits, 1);
    case DecodeStrategy::kTopk:
      return largest(logits, s.top_k);
    case DecodeStrategy::kNucleus:
      return nucleus(logits, s.nucleus_p);
    case DecodeStrategy::kComposite:
      return composite(logits, s.top_k, s.nucleus_p);
    case DecodeStrategy::kWeighted:
      break;
  }
  Ids all(logits.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace

Sampling sampling_of(const Config& config, uint64_t seed) {
  return {.strategy = config.decode_sampling_strategy,
          .temperature = config.decode_sampling_temperature,
          .top_k = config.decode_sampling_top_k,
          .nucleus_p = config.decode_sampling_nucleus_p,
          .seed = seed};
}

double uniform(uint64_t seed, const Draw& draw) {
  return static_cast<double>(mixed(mixed(mixed(seed) ^ draw.prompt) ^ draw.place) >> 11) * 0x1p-53;
}

int32_t sampled_token(const Sampling& s, std::span<const float> logits, const Draw& draw) {
  const Ids ids = candidates(s, logits);
  return ids.size() == 1 ? ids[0] : drawn(logits, ids, s.temperature, uniform(s.seed, draw));
}

}  // namespace fathom
