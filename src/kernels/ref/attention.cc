// The scalar oracle of attention: float64, one query after the other.
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/element.h"

namespace fathom::ref {
namespace {

// One array as seen from one head: element `column` of token `token`.
struct HeadRows {
  DType dtype;
  const void* data;
  int64_t first, row;
  double at(int64_t token, int64_t column) const { return load(dtype, data, first + token * row + column); }
};

HeadRows rows_of(DType dtype, const void* data, const AttentionShape& n, int64_t batch, int64_t head, int64_t width) {
  return {dtype, data, (batch * n.s * n.h + head) * width, n.h * width};
}

double dot(const HeadRows& x, int64_t i, const HeadRows& y, int64_t j, int64_t width) {
  double sum = 0;
  for (int64_t c = 0; c < width; ++c) sum += x.at(i, c) * y.at(j, c);
  return sum;
}

void store_head(const HeadRows& to, void* data, int64_t tokens, int64_t width, const std::vector<double>& values) {
  for (int64_t i = 0; i < tokens; ++i) {
    for (int64_t c = 0; c < width; ++c) {
      store(to.dtype, data, to.first + i * to.row + c, values[static_cast<size_t>(i * width + c)]);
    }
  }
}

void add(std::vector<double>& sums, int64_t i, double factor, const HeadRows& x, int64_t j, int64_t width) {
  for (int64_t c = 0; c < width; ++c) sums[static_cast<size_t>(i * width + c)] += factor * x.at(j, c);
}

void head(const Attention& a, int64_t batch, int64_t index) {
  const AttentionShape& n = a.shape;
  HeadRows q = rows_of(a.dtype, a.q, n, batch, index, n.w), k = rows_of(a.dtype, a.k, n, batch, index, n.w);
  HeadRows v = rows_of(a.dtype, a.v, n, batch, index, n.u);
  const int32_t* segments = a.segments + batch * n.s;
  std::vector<double> out(static_cast<size_t>(n.s * n.u)), scores(static_cast<size_t>(n.s));
  for (int64_t i = 0; i < n.s; ++i) {
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j <= i; ++j) {
      scores[static_cast<size_t>(j)] = segments[i] == segments[j] ? dot(q, i, k, j, n.w) : -INFINITY;
      top = std::max(top, scores[static_cast<size_t>(j)]);
    }
    for (int64_t j = 0; j <= i; ++j) sum += std::exp(scores[static_cast<size_t>(j)] - top);
    for (int64_t j = 0; j <= i; ++j) add(out, i, std::exp(scores[static_cast<size_t>(j)] - top) / sum, v, j, n.u);
    a.lse[(batch * n.h + index) * n.s + i] = static_cast<float>(top + std::log(sum));
  }
  store_head(rows_of(a.dtype, a.out, n, batch, index, n.u), a.out, n.s, n.u, out);
}

void head_grad(const AttentionGrad& a, int64_t batch, int64_t index) {
  const AttentionShape& n = a.shape;
  HeadRows q = rows_of(a.dtype, a.q, n, batch, index, n.w), k = rows_of(a.dtype, a.k, n, batch, index, n.w);
  HeadRows v = rows_of(a.dtype, a.v, n, batch, index, n.u), d_out = rows_of(a.dtype, a.d_out, n, batch, index, n.u);
  const int32_t* segments = a.segments + batch * n.s;
  const int64_t rows = (batch * n.h + index) * n.s;
  std::vector<double> d_q(static_cast<size_t>(n.s * n.w)), d_k = d_q, d_v(static_cast<size_t>(n.s * n.u));
  for (int64_t i = 0; i < n.s; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      if (segments[i] != segments[j]) continue;
      double p = std::exp(dot(q, i, k, j, n.w) - static_cast<double>(a.lse[rows + i]));
      double d_s = p * (dot(d_out, i, v, j, n.u) - static_cast<double>(a.delta[rows + i]));
      add(d_v, j, p, d_out, i, n.u);
      add(d_q, i, d_s, k, j, n.w);
      add(d_k, j, d_s, q, i, n.w);
    }
  }
  store_head(q, a.d_q, n.s, n.w, d_q);
  store_head(k, a.d_k, n.s, n.w, d_k);
  store_head(v, a.d_v, n.s, n.u, d_v);
}

}  // namespace

void attention(const Attention& args) {
  for (int64_t t = 0; t < args.shape.b * args.shape.h; ++t) head(args, t / args.shape.h, t % args.shape.h);
}

void attention_grad(const AttentionGrad& args) {
  for (int64_t t = 0; t < args.shape.b * args.shape.h; ++t) head_grad(args, t / args.shape.h, t % args.shape.h);
}

}  // namespace fathom::ref
