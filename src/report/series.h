// A scalar over the steps of a run, in bounded memory: however many values come, the least, the greatest and the mean
// of every stretch of steps stay, so that a spike of one step in a million is still seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

// The values of a stretch of steps. Those that are not finite are counted apart.
struct Bucket {
  int64_t index = 0;               // of the stretch; 0 begins with the first step of the series
  int64_t first = 0, last = 0;     // steps that have a value
  int64_t finite = 0;              // how many values are
  int64_t nan = 0, infinite = 0;   // how many are not
  double least = 0, greatest = 0;  // of the finite ones
  double sum = 0;

  double mean() const { return sum / static_cast<double>(finite); }
  bool broken() const { return nan + infinite > 0; }
};

// A value and where it stands.
struct StepValue {
  int64_t step = 0;
  double value = 0;
};

class Series {
 public:
  static constexpr int64_t kBuckets = 1024;  // about a pixel each
  explicit Series(int64_t most_buckets = kBuckets) : most_buckets_(most_buckets) {}

  // Steps come in order.
  void add(int64_t step, double value);

  // Those that hold a value, in order; at most as many as the constructor was told.
  std::span<const Bucket> buckets() const { return buckets_; }
  // Steps that a bucket stands for; 1 until there are more steps than buckets.
  int64_t bucket_steps() const { return bucket_steps_; }
  int64_t size() const { return finite_ + nan_ + infinite_; }
  int64_t finite() const { return finite_; }
  int64_t nan() const { return nan_; }
  int64_t infinite() const { return infinite_; }
  double sum() const { return sum_; }  // of the finite values
  // Of the finite values; where there are none, of no meaning.
  const StepValue& least() const { return least_; }
  const StepValue& greatest() const { return greatest_; }
  // The newest value, finite or not, and the first one that is not.
  const StepValue& last() const { return last_; }
  const StepValue& first_broken() const { return first_broken_; }

 private:
  void make_room(int64_t step);

  int64_t most_buckets_;
  int64_t bucket_steps_ = 1, origin_ = 0;
  std::vector<Bucket> buckets_;
  int64_t finite_ = 0, nan_ = 0, infinite_ = 0;
  double sum_ = 0;
  StepValue least_, greatest_, last_, first_broken_;
};

// The mean of the finite values within each bucket and up to `reach` buckets on either side of it (steps that are not
// there count as buckets too), one for each bucket. Near the ends it reaches less far, to both sides alike, for a mean
// of one side alone would lag behind a curve that falls.
std::vector<double> moving_mean(const Series& series, int64_t reach);

// Whether both have the same values at the same steps.
bool same_values(const Series& a, const Series& b);

}  // namespace fathom
