#include "kernels/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "kernels/indexer.h"

namespace fathom {

void check_places(const Indexer& indexer) {
  const IndexerShape& n = indexer.shape;
  if (indexer.first >= 0 && indexer.first + n.s <= n.t) return;
  throw std::invalid_argument(
      fmt::format("{} queries from place {} on are not all among the {} keys", n.s, indexer.first, n.t));
}

void keys_seen(const int32_t* segments, int64_t at, std::vector<int32_t>& seen) {
  seen.resize(static_cast<size_t>(at + 1));
  size_t count = 0;
  for (int64_t t = 0; t <= at; ++t) {
    seen[count] = static_cast<int32_t>(t);
    count += segments[t] == segments[at] ? 1 : 0;
  }
  seen.resize(count);
}

Cutoff choose(const float* scores, std::span<const int32_t> seen, int64_t top_k, int32_t* keys,
              std::vector<float>& spare) {
  spare.resize(seen.size());
  for (size_t i = 0; i < seen.size(); ++i) spare[i] = scores[seen[i]];
  const auto last = spare.begin() + (top_k - 1);
  std::nth_element(spare.begin(), last, spare.end(), std::greater<>());
  Cutoff cutoff{.score = *last};
  // What lies before the last one is not smaller; the rest of the places are for keys at the cutoff.
  const int64_t above = std::count_if(spare.begin(), last, [&](float x) { return x > cutoff.score; });
  int64_t equal = top_k - above;
  for (int32_t t : seen) {
    if (scores[t] == cutoff.score && --equal == 0) {
      cutoff.tie = t;
      break;
    }
  }
  chosen_keys(scores, seen, cutoff, top_k, keys);
  return cutoff;
}

int64_t chosen_keys(const float* scores, std::span<const int32_t> seen, const Cutoff& cutoff, int64_t n,
                    int32_t* keys) {
  int64_t count = 0;
  for (size_t i = 0; i < seen.size() && count < n; ++i) {
    const int32_t t = seen[i];
    keys[count] = t;
    count += scores[t] > cutoff.score || (scores[t] == cutoff.score && t <= cutoff.tie) ? 1 : 0;
  }
  return count;
}

namespace {

bool valid_list(const int32_t* keys, int64_t n, int64_t t) {
  bool valid = n > 0 && keys[0] >= 0 && keys[0] < t;
  for (int64_t i = 1; i < n; ++i) {
    const bool next = keys[i - 1] >= 0 && keys[i] > keys[i - 1] && keys[i] < t;
    valid &= next || keys[i] == -1;
  }
  return valid;
}

}  // namespace

void check_lists(const int32_t* keys, int64_t lists, int64_t n, int64_t t) {
  for (int64_t i = 0; i < lists; ++i) {
    if (valid_list(keys + i * n, n, t)) continue;
    throw std::invalid_argument(fmt::format("list {} is not one or more ascending keys of {}, then -1", i, t));
  }
}

}  // namespace fathom
