// Comparison of tensors with references. NaN fails by construction, shapes must agree, and the worst place is kept.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/host_array.h"

namespace fathom {

// Of all elements of an f32 array, summed in float64.
double l2_norm(const HostArray& array);

// The worst of many comparisons against one tolerance.
class Comparison {
 public:
  explicit Comparison(double tolerance) : tolerance_(tolerance) {}

  // |got - want| over all elements; `where` names the tensor. Different sizes fail.
  void absolute(std::span<const float> got, std::span<const float> want, const std::string& where);
  // max |got - want| / max |want| over the tensor. A reference of zeros asks for exact zeros.
  void relative_to_max(std::span<const float> got, std::span<const float> want, const std::string& where);
  // |got - want| / |want| of one number.
  void relative(double got, double want, const std::string& where);
  void absolute(double got, double want, const std::string& where);
  // Counts elements that differ; any difference fails.
  void exact(std::span<const int32_t> got, std::span<const int32_t> want, const std::string& where);
  // Something that cannot be compared: fails, and its text takes the place of the worst one.
  void fail(const std::string& what);

  bool ok() const { return failure_.empty() && worst_ <= tolerance_; }
  bool empty() const { return count_ == 0; }
  double worst() const { return worst_; }
  double tolerance() const { return tolerance_; }
  // The worst difference in units of the tolerance: above 1 fails.
  double severity() const;
  // Where the worst difference is: "prompt0.logits[17]: 1.25 instead of 1.5", or what failed.
  const std::string& where() const { return failure_.empty() ? where_ : failure_; }

 private:
  void note(double difference, std::string where);
  double tolerance_;
  double worst_ = 0;
  std::string where_;
  std::string failure_;
  int64_t count_ = 0;
};

}  // namespace fathom
