// How many tokens chose each expert, from a run's expert_load.jsonl.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "report/series.h"

namespace fathom {

struct RunLoads {
  // A load is an expert's tokens over the mean of its layer: 1 where all experts are chosen alike. Over all experts of
  // all layers of a step: the largest, the bounds of the middle 80 %, the median, the smallest.
  Series largest, upper, median, lower, smallest;
  Series idle;  // experts that no token chose
  static constexpr int64_t kColumns = 160;
  std::map<int64_t, Series> of_layers;  // the largest load of each layer
  // The newest whole step.
  int64_t last_step = 0;
  std::map<int64_t, std::vector<double>> last;  // loads of all experts, by layer
  int64_t experts() const;                      // of all layers together
  bool cut = false;                             // the file ends within a line
};

// Throws FormatError naming the line that is none of a run's.
RunLoads read_loads(const std::string& path);

}  // namespace fathom
