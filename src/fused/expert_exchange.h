// The movements around the experts of one device inside a per-device region: which token goes where, and back.
#pragma once

#include <optional>

#include "fused/bounded_exchange.h"

namespace fathom {

struct ExchangeOptions {
  std::vector<std::string> mesh_axes = {};  // over which the experts are split; empty: all are here
  bool ragged = false;                      // send only the rows that are there (ragged_all_to_all), not whole buffers
  // Above 0: a device takes so many times the mean number of choices, T k of them, and drops the others
  // (fused/bounded_exchange.h).
  double factor = 0;
};

// The plan for the tokens of this device (T of them, T = b s), with k choices each among E experts of which this device
// holds E / P, P the number of devices along the mesh axes. A token is sent at most once to a device;
// it has one of T places in the buffer for it. N = P T rows arrive at most; of a row at most c = min(k, E / P)
// choices are of experts here: those make the sorted list of m = N c rows. With a factor, N and m are the bound of
// BoundedExchange where that is less.
class ExpertPlan {
 public:
  // experts [b s k] s32, all choices of a token different; weights [b s k] f32.
  ExpertPlan(Value experts, Value weights, int64_t local_experts, ExchangeOptions options);

  // [b s d] -> [row d], row = N: what the devices of the group have sent here. Places that nobody filled hold rows that
  // no group takes.
  Value send(Value x) const;
  // The sorted list: "m".
  Axis rows() const { return {"m", most_}; }
  // [row d] -> [m d], `count` rows of the list, sorted by local expert, from row `begin` (s32) on, or all without it;
  // behind the last group rows that count for nothing.
  Value rows_of(Value received, Value begin, int64_t count) const;
  // [e] s32: rows of each local expert.
  Value sizes() const { return sizes_; }
  // [m] f32: the routing weight of each of these rows.
  Value row_weights(Value begin, int64_t count) const;
  // [m d] -> [row d] f32: for each received token the sum of its rows, times their routing weights if `weighted`.
  Value sum_of_rows(Value rows, bool weighted) const;
  // [row d] -> [b s d] of `dtype`: rows go back to their senders, which sum them in float32.
  Value collect(Value sums, DType dtype) const;
  // [b s k] bool: whether a choice is not dropped; null where none can be.
  Value kept() const;
  // [m] f32 -> [b s k]: each row's number goes back to the choice that it is of.
  Value collect_weights(Value values) const;

 private:
  void choose_places();
  void order_rows(Value experts, Value weights);
  void bound(Value weights, int64_t most);
  Value exchange(Value buffers, bool back) const;
  Value returned(Value rows) const;
  Value in_whole_buffers(Value rows) const;
  Value ragged_exchange(Value buffers, bool back) const;

  ExchangeOptions options_;
  Axis b_, s_;
  int64_t peers_ = 1, tokens_ = 0, choices_ = 0, local_experts_ = 0, columns_ = 0;
  int64_t most_ = 0;  // m
  std::optional<BoundedExchange> bounded_;
  Value experts_;           // [tok k]
  Value place_;             // [tok k] s32: device of the choice * T + place of the token there
  Value first_;             // [tok k] bool: no earlier choice of the token is of the same device
  Value token_at_;          // [peer place] s32: the token of each place to send
  Value sent_, arriving_;   // [peer] s32: rows for each device, and from each
  Value choice_in_column_;  // [row k col] s32, 0 or 1; null where column i is choice i
  Value slot_valid_;        // [row col] bool: whether the choice is of an expert here
  Value slot_weights_;      // [row col] f32
  Value slot_of_row_;       // [m] s32, slot = row * c + column
  Value row_of_slot_;       // [row col] s32
  Value sizes_, row_weights_;
};

}  // namespace fathom
