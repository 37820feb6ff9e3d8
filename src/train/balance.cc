#include "train/balance.h"

#include "graph/ops.h"

namespace fathom {

// In whole numbers, so that an expert with exactly the mean stays: a rounded mean would move it where the number of
// experts is no power of two.
Value moved_bias(Value bias, Value load, double rate) {
  const int64_t experts = load.size("e");
  Value total = reduce_sum(load, "e");
  Value mean = total / experts;  // rounded down
  Value rest = total - mean * experts;
  Value below = logical_or(less(load, mean), logical_and(equal(load, mean), greater(rest, 0)));
  Value sign = convert(convert(below, DType::kS32) - convert(greater(load, mean), DType::kS32), DType::kF32);
  return bias + sign * rate;
}

// Sums are float32: those over all layers may be beyond 32 bits.
ValuesByName load_scalars(const ValuesByName& loads) {
  ValuesByName out;
  Value load = loads.find("load");
  if (!load) return out;
  Value counts = convert(load, DType::kF32);
  Value mean = reduce_mean(counts, "e");
  // A layer that no token of the batch passes has no busiest expert.
  Value ratio = reduce_max(counts, "e") / maximum(mean, 1.0 / static_cast<double>(load.size("e")));
  out.add("moe_max_load_ratio", reduce_max(ratio, "l"));
  if (Value dropped = loads.find("dropped")) {
    out.add("moe_dropped_fraction", convert(dropped, DType::kF32) / maximum(reduce_sum(counts, ""), 1.0));
  }
  return out;
}

}  // namespace fathom
