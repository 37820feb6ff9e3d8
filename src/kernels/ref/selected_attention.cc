// The scalar oracle of attention over lists of keys: float64, one query after the other.
#include "kernels/selected_attention.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "kernels/ref/element.h"
#include "kernels/selection.h"

namespace fathom::ref {
namespace {

// One head's row of an array [b, tokens, h, width].
struct Row {
  DType dtype;
  const void* data;
  int64_t first, width;
  double at(int64_t column) const { return load(dtype, data, first + column); }
};

double dot(const Row& x, const Row& y) {
  double sum = 0;
  for (int64_t c = 0; c < x.width; ++c) sum += x.at(c) * y.at(c);
  return sum;
}

// Sums of one array in float64, stored at the end.
struct Sums {
  explicit Sums(int64_t count) : values(static_cast<size_t>(count)) {}
  void add(double factor, const Row& from, int64_t first) {
    for (int64_t c = 0; c < from.width; ++c) values[static_cast<size_t>(first + c)] += factor * from.at(c);
  }
  void store_to(DType dtype, void* data) const {
    for (size_t i = 0; i < values.size(); ++i) store(dtype, data, static_cast<int64_t>(i), values[i]);
  }
  std::vector<double> values;
};

// The keys of each query and head: f(batch, query, head, list).
template <typename F>
void for_each_list(const SelectedShape& n, const int32_t* keys, const F& f) {
  check_lists(keys, n.b * n.s, n.n, n.t);
  for (int64_t row = 0; row < n.b * n.s; ++row) {
    const int32_t* list = keys + row * n.n;
    const auto count = static_cast<size_t>(std::find(list, list + n.n, -1) - list);
    for (int64_t head = 0; head < n.h; ++head) f(row / n.s, row % n.s, head, std::span(list, count));
  }
}

// Rows of q and d_out (`tokens` = s) or of k and v (`tokens` = t).
Row row_of(DType dtype, const void* data, const SelectedShape& n, int64_t token, int64_t head, int64_t width) {
  return {dtype, data, (token * n.h + head) * width, width};
}

}  // namespace

void selected_attention(const SelectedAttention& a) {
  const SelectedShape& n = a.shape;
  Sums out(n.b * n.s * n.h * n.u);
  for_each_list(n, a.keys, [&](int64_t batch, int64_t query, int64_t head, std::span<const int32_t> list) {
    const Row q = row_of(a.dtype, a.q, n, batch * n.s + query, head, n.w);
    std::vector<double> scores;
    for (int32_t t : list) scores.push_back(dot(q, row_of(a.dtype, a.k, n, batch * n.t + t, head, n.w)));
    const double top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double x : scores) sum += std::exp(x - top);
    for (size_t i = 0; i < list.size(); ++i) {
      out.add(std::exp(scores[i] - top) / sum, row_of(a.dtype, a.v, n, batch * n.t + list[i], head, n.u),
              ((batch * n.s + query) * n.h + head) * n.u);
    }
    a.lse[(batch * n.h + head) * n.s + query] = static_cast<float>(top + std::log(sum));
  });
  out.store_to(a.dtype, a.out);
}

void selected_attention_grad(const SelectedAttentionGrad& a) {
  const SelectedShape& n = a.shape;
  Sums d_q(n.b * n.s * n.h * n.w), d_k(n.b * n.t * n.h * n.w), d_v(n.b * n.t * n.h * n.u);
  for_each_list(n, a.keys, [&](int64_t batch, int64_t query, int64_t head, std::span<const int32_t> list) {
    const Row q = row_of(a.dtype, a.q, n, batch * n.s + query, head, n.w);
    const Row d_out = row_of(a.dtype, a.d_out, n, batch * n.s + query, head, n.u);
    const int64_t at = (batch * n.h + head) * n.s + query;
    for (int32_t t : list) {
      const Row k = row_of(a.dtype, a.k, n, batch * n.t + t, head, n.w);
      const Row v = row_of(a.dtype, a.v, n, batch * n.t + t, head, n.u);
      const double p = std::exp(dot(q, k) - static_cast<double>(a.lse[at]));
      const double d_s = p * (dot(d_out, v) - static_cast<double>(a.delta[at]));
      d_q.add(d_s, k, q.first);
      d_k.add(d_s, q, k.first);
      d_v.add(p, d_out, v.first);
    }
  });
  d_q.store_to(a.dtype, a.d_q);
  d_k.store_to(a.dtype, a.d_k);
  d_v.store_to(a.dtype, a.d_v);
}

}  // namespace fathom::ref
