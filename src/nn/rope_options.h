// What rotary embedding depends on; apart from rope.h so that configurations can hold it without the graph.
#pragma once

#include <cstdint>
#include <optional>

namespace fathom {

struct Yarn {
  double factor = 40;             // how many times longer than the trained length
  double original_length = 4096;  // positions of the first training
  double beta_fast = 32;          // rotations over the original length above which a pair keeps its frequency
  double beta_slow = 1;           // and below which it is slowed by the whole factor
  bool truncate = true;           // borders of the ramp rounded to whole pairs
};

struct RopeOptions {
  int64_t dim = 0;           // rotated dimensions: two for each pair
  double theta = 10000;      // pair i turns by theta^(-2i / dim) radians a position
  std::optional<Yarn> yarn;  // in force at every length, short ones too
  double magnitude = 1;      // on cos and sin
};

}  // namespace fathom
