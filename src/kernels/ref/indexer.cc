// The scalar oracle of the indexer: float64 scores, rounded to float32 before the choice.
#include "kernels/indexer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/element.h"

namespace fathom::ref {
namespace {

float score(const Indexer& x, int64_t batch, int64_t query, int64_t key) {
  const IndexerShape& n = x.shape;
  double sum = 0;
  for (int64_t head = 0; head < n.g; ++head) {
    const int64_t row = (batch * n.s + query) * n.g + head;
    double dot = 0;
    for (int64_t c = 0; c < n.i; ++c) {
      dot += load(x.dtype, x.q, row * n.i + c) * load(x.dtype, x.k, (batch * n.t + key) * n.i + c);
    }
    sum += static_cast<double>(x.weights[row]) * (dot < 0 ? 0 : dot);
  }
  return std::isnan(sum) ? -INFINITY : static_cast<float>(sum);
}

// Calls f(batch, query, keys that it sees, their scores) for each query.
template <typename F>
void for_each_query(const Indexer& x, const F& f) {
  const IndexerShape& n = x.shape;
  check_places(x);
  for (int64_t row = 0; row < n.b * n.s; ++row) {
    const int64_t batch = row / n.s, query = row % n.s;
    const int32_t* segments = x.segments + batch * n.t;
    std::vector<int32_t> seen;
    std::vector<float> scores;
    for (int32_t t = 0; t <= x.first + query; ++t) {
      if (segments[t] != segments[x.first + query]) continue;
      seen.push_back(t);
      scores.push_back(score(x, batch, query, t));
    }
    f(row, seen, scores);
  }
}

}  // namespace

void indexer_selection(const IndexerSelection& a) {
  const int64_t t = a.indexer.shape.t, n = std::min(a.top_k, t);
  for_each_query(a.indexer, [&](int64_t row, std::vector<int32_t>& seen, const std::vector<float>& scores) {
    a.cutoff[row] = -INFINITY;
    a.tie[row] = static_cast<int32_t>(t - 1);
    if (static_cast<int64_t>(seen.size()) > a.top_k) {
      std::vector<size_t> order(seen.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return scores[i] > scores[j]; });
      order.resize(static_cast<size_t>(a.top_k));
      a.cutoff[row] = scores[order.back()];
      a.tie[row] = seen[order.back()];
      std::sort(order.begin(), order.end());
      for (size_t i = 0; i < order.size(); ++i) seen[i] = seen[order[i]];
      seen.resize(order.size());
    }
    seen.resize(static_cast<size_t>(n), -1);
    std::copy(seen.begin(), seen.end(), a.keys + row * n);
  });
}

void indexer_keys(const IndexerKeys& a) {
  for_each_query(a.indexer, [&](int64_t row, const std::vector<int32_t>& seen, const std::vector<float>& scores) {
    std::vector<int32_t> keys;
    for (size_t i = 0; i < seen.size(); ++i) {
      const bool equal = scores[i] == a.cutoff[row] && seen[i] <= a.tie[row];
      if (scores[i] > a.cutoff[row] || equal) keys.push_back(seen[i]);
    }
    keys.resize(static_cast<size_t>(a.n), -1);
    std::copy(keys.begin(), keys.end(), a.keys + row * a.n);
  });
}

}  // namespace fathom::ref
