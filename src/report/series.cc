#include "report/series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace fathom {
namespace {

// `next` becomes a part of `into`.
void merge(Bucket& into, const Bucket& next) {
  into.last = next.last;
  if (next.finite > 0) {
    into.least = into.finite > 0 ? std::min(into.least, next.least) : next.least;
    into.greatest = into.finite > 0 ? std::max(into.greatest, next.greatest) : next.greatest;
  }
  into.finite += next.finite;
  into.nan += next.nan;
  into.infinite += next.infinite;
  into.sum += next.sum;
}

Bucket bucket_of(int64_t index, int64_t step, double value) {
  Bucket out{.index = index, .first = step, .last = step};
  if (std::isnan(value)) {
    out.nan = 1;
  } else if (std::isinf(value)) {
    out.infinite = 1;
  } else {
    out.finite = 1;
    out.least = out.greatest = out.sum = value;
  }
  return out;
}

}  // namespace

void Series::make_room(int64_t step) {
  while ((step - origin_) / bucket_steps_ >= most_buckets_) {
    bucket_steps_ *= 2;
    std::vector<Bucket> wider;
    for (const Bucket& bucket : buckets_) {
      if (!wider.empty() && wider.back().index == bucket.index / 2) {
        merge(wider.back(), bucket);
      } else {
        wider.push_back(bucket);
        wider.back().index = bucket.index / 2;
      }
    }
    buckets_ = std::move(wider);
  }
}

void Series::add(int64_t step, double value) {
  if (size() == 0) origin_ = step;
  make_room(step);
  const Bucket one = bucket_of((step - origin_) / bucket_steps_, step, value);
  if (one.finite > 0 && (finite_ == 0 || value < least_.value)) least_ = {step, value};
  if (one.finite > 0 && (finite_ == 0 || value > greatest_.value)) greatest_ = {step, value};
  if (one.broken() && nan_ + infinite_ == 0) first_broken_ = {step, value};
  last_ = {step, value};
  finite_ += one.finite;
  nan_ += one.nan;
  infinite_ += one.infinite;
  sum_ += one.sum;
  if (!buckets_.empty() && buckets_.back().index == one.index) {
    merge(buckets_.back(), one);
  } else {
    buckets_.push_back(one);
  }
}

std::vector<double> moving_mean(const Series& series, int64_t reach) {
  const std::span<const Bucket> all = series.buckets();
  std::vector<double> out;
  for (size_t i = 0; i < all.size(); ++i) {
    double sum = 0;
    int64_t count = 0;
    auto take = [&](const Bucket& bucket) {
      sum += bucket.sum;
      count += bucket.finite;
    };
    const int64_t here = all[i].index;
    const int64_t around = std::min({reach, here - all.front().index, all.back().index - here});
    for (size_t k = i; k < all.size() && all[k].index - here <= around; ++k) take(all[k]);
    for (size_t k = i; k-- > 0 && here - all[k].index <= around;) take(all[k]);
    out.push_back(count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

bool same_values(const Series& a, const Series& b) {
  auto same = [](const Bucket& x, const Bucket& y) {
    return x.first == y.first && x.last == y.last && x.finite == y.finite && x.nan == y.nan &&
           x.infinite == y.infinite && x.least == y.least && x.greatest == y.greatest && x.sum == y.sum;
  };
  return std::ranges::equal(a.buckets(), b.buckets(), same);
}

}  // namespace fathom
