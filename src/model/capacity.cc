#include "model/capacity.h"

#include <algorithm>

namespace fathom {

int64_t expert_capacity(const ModelConfig& m, int64_t length) {
  const int64_t mean = (length * m.top_k + m.experts - 1) / m.experts;
  return static_cast<int64_t>(std::max(static_cast<double>(mean) * m.capacity_factor, m.capacity_factor));
}

// By sorting each row's choices: a mask for each (choice, expert, place), as MaxText makes it, is E times as large as
// the tokens that it moves.
KeptChoices keep_first(Value experts, int64_t count, int64_t capacity) {
  const Axis e{"e", count}, s = experts.shape()[1], k = experts.shape()[2];
  Value slots = merge_axes(experts, "s k", "m");                             // [b m]
  Value slot_of_rank = tag(argsort(slots, "m"), "moe_routing_maps");         // [b m]
  Value rank_of_slot = tag(argsort(slot_of_rank, "m"), "moe_routing_maps");  // [b m]
  Value counts = reduce_sum(one_hot(slots, e, DType::kS32), "m");            // [b e]
  Value begin = cumsum(counts, "e") - counts;                                // [b e]: the expert's first rank
  Value position = rank_of_slot - gather(begin, slots, "e");                 // [b m]: among its expert's choices
  Value kept = less(position, capacity);
  KeptChoices out;
  out.kept = split_axis(kept, "m", {s, k});
  out.map.place_of_slot = split_axis(select(kept, slots * capacity + position, -1), "m", {s, k});

  const Shape places{counts.shape()[0], e, {"c", capacity}};
  Value at = iota(experts.graph(), DType::kS32, places, "c");
  Value taken = less(at, broadcast(counts, places));
  Value slot = gather(slot_of_rank, at + begin, "m");  // [b e c]
  out.map.slot_of_place = merge_axes(select(taken, slot, -1), "e c", "p");
  return out;
}

}  // namespace fathom
