// Tokens between the devices of a group of experts in buffers of a bounded number of rows: a device takes the first
// choices that are of its experts, by sender, token and choice, and the others are dropped.
#pragma once

#include <string>
#include <vector>

#include "graph/ops.h"

namespace fathom {

struct BoundedOptions {
  std::vector<std::string> mesh_axes;  // along which the experts are split, over P devices
  bool ragged = false;                 // send only the rows that are there (ragged_all_to_all)
  int64_t local_experts = 0;           // of each device
  int64_t most = 0;                    // choices that a device takes
};

// Of the tokens of this device (T of them). They travel as rows: a token once for each device that takes a choice of
// it, the rows for a device side by side, S = T min(k, P) of them at most. What arrives stands side by side too, in the
// order of the senders: at most R = min(P T, most) rows.
class BoundedExchange {
 public:
  // experts [tok k] s32, all choices of a token different.
  BoundedExchange(Value experts, BoundedOptions options);

  // [tok k] bool: whether the choice is taken.
  Value kept() const { return kept_; }
  // [tok k] s32: of a choice that is taken, the row that its token is sent in.
  Value place() const { return place_; }
  // [tok k] bool: whether it is taken, and no earlier choice of the token is of the same device.
  Value first() const { return first_; }

  // [tok ...] -> [row ...], R rows: what the group has sent here; `fill` in rows that nobody sent.
  Value send(Value by_token, double fill = 0) const;
  // [row ...] -> [sent ...], S rows: each back to where its token was sent from.
  Value send_back(Value rows) const;

 private:
  // The rows of each pair of devices on their way: where they begin at both ends, and how many there are; [peer] s32.
  struct Way {
    Value from, count;     // here, to each device
    Value into, expected;  // here, from each device
    Value into_there;      // at each device, those from here
    std::string arriving;  // name of the axis of what arrives
    int64_t rows = 0;      // and its size
  };
  void choose_kept(Value experts);
  void lay_out();
  Value travel(Value x, const Way& way, double fill) const;
  Value travel_in_parts(Value x, const Way& way, double fill) const;

  BoundedOptions options_;
  int64_t peers_, tokens_, choices_;
  Value me_;
  Value chosen_;  // [tok k peer] s32: the device of each choice, none where it is dropped
  Value kept_, place_, first_;
  Value token_of_row_;  // [sent] s32
  Way there_, back_;
};

}  // namespace fathom
