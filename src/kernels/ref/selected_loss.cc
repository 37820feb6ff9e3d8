// The scalar oracle of the indexer's loss: float64, one query after the other.
#include "kernels/selected_loss.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/ref/element.h"
#include "kernels/selection.h"

namespace fathom::ref {
namespace {

constexpr double kTiny = 1e-8;

struct Query {
  int64_t batch, row;            // row: of [b, s]
  std::vector<int64_t> keys;     // of [b, t]
  std::vector<double> p, r;      // of the keys
  std::vector<double> products;  // [g, keys], iq . ik
};

double dot(DType dtype, const void* x, int64_t i, const void* y, int64_t j, int64_t width) {
  double sum = 0;
  for (int64_t c = 0; c < width; ++c) sum += load(dtype, x, i * width + c) * load(dtype, y, j * width + c);
  return sum;
}

void add_target(const SelectedLoss& a, Query& x) {
  const SelectedShape& n = a.shape;
  double sum = 0;
  for (int64_t key : x.keys) {
    double p = 0;
    for (int64_t head = 0; head < n.h; ++head) {
      const double lse = static_cast<double>(a.lse[(x.batch * n.h + head) * n.s + x.row % n.s]);
      p += std::exp(dot(a.dtype, a.q, x.row * n.h + head, a.k, key * n.h + head, n.w) - lse);
    }
    x.p.push_back(p / static_cast<double>(n.h));
    sum += x.p.back();
  }
  for (double& p : x.p) p /= sum + kTiny;
}

void add_prediction(const SelectedLoss& a, Query& x) {
  x.r.resize(x.keys.size());
  for (int64_t head = 0; head < a.g; ++head) {
    for (size_t i = 0; i < x.keys.size(); ++i) {
      x.products.push_back(dot(a.dtype, a.iq, x.row * a.g + head, a.ik, x.keys[i], a.i));
      x.r[i] += static_cast<double>(a.weights[x.row * a.g + head]) * std::max(x.products.back(), 0.0);
    }
  }
  const double top = *std::max_element(x.r.begin(), x.r.end());
  double sum = 0;
  for (double& r : x.r) sum += r = std::exp(r - top);
  for (double& r : x.r) r /= sum;
}

void for_each_query(const SelectedLoss& a, const std::function<void(const Query&)>& f) {
  const SelectedShape& n = a.shape;
  check_lists(a.keys, n.b * n.s, n.n, n.t);
  for (int64_t row = 0; row < n.b * n.s; ++row) {
    Query x{.batch = row / n.s, .row = row, .keys = {}, .p = {}, .r = {}, .products = {}};
    for (int64_t i = 0; i < n.n && a.keys[row * n.n + i] >= 0; ++i) {
      x.keys.push_back(x.batch * n.t + a.keys[row * n.n + i]);
    }
    add_target(a, x);
    add_prediction(a, x);
    f(x);
  }
}

void store_all(DType dtype, const std::vector<double>& from, void* to) {
  for (size_t i = 0; i < from.size(); ++i) store(dtype, to, static_cast<int64_t>(i), from[i]);
}

}  // namespace

void selected_loss(const SelectedLoss& a, float* kl) {
  for_each_query(a, [&](const Query& x) {
    double loss = 0;
    for (size_t i = 0; i < x.p.size(); ++i) loss += x.p[i] * (std::log(x.p[i] + kTiny) - std::log(x.r[i] + kTiny));
    kl[x.row] = static_cast<float>(loss);
  });
}

void selected_loss_grad(const SelectedLossGrad& d) {
  const SelectedLoss& a = d.loss;
  const SelectedShape& n = a.shape;
  std::vector<double> d_iq(static_cast<size_t>(n.b * n.s * a.g * a.i)), d_ik(static_cast<size_t>(n.b * n.t * a.i));
  std::vector<double> d_weights(static_cast<size_t>(n.b * n.s * a.g));
  for_each_query(a, [&](const Query& x) {
    double mean = 0;
    for (size_t i = 0; i < x.p.size(); ++i) mean -= x.r[i] * x.p[i] / (x.r[i] + kTiny);
    for (size_t i = 0; i < x.p.size(); ++i) {
      const double d_score = static_cast<double>(d.d_kl[x.row]) * x.r[i] * (-x.p[i] / (x.r[i] + kTiny) - mean);
      for (int64_t head = 0; head < a.g; ++head) {
        const double product = x.products[static_cast<size_t>(head) * x.keys.size() + i];
        if (product <= 0) continue;
        const int64_t at = x.row * a.g + head;
        const double d_product = d_score * static_cast<double>(a.weights[at]);
        d_weights[static_cast<size_t>(at)] += d_score * product;
        for (int64_t c = 0; c < a.i; ++c) {
          d_iq[static_cast<size_t>(at * a.i + c)] += d_product * load(a.dtype, a.ik, x.keys[i] * a.i + c);
          d_ik[static_cast<size_t>(x.keys[i] * a.i + c)] += d_product * load(a.dtype, a.iq, at * a.i + c);
        }
      }
    }
  });
  store_all(a.dtype, d_iq, d.d_iq);
  store_all(a.dtype, d_ik, d.d_ik);
  store_all(DType::kF32, d_weights, d.d_weights);
}

}  // namespace fathom::ref
