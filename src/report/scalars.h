// The scalars of a run, from its metrics.jsonl.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "report/series.h"

namespace fathom {

struct RunScalars {
  std::map<std::string, Series, std::less<>> series;  // by the names in the file: "learning/loss"
  int64_t records = 0;
  int64_t first_step = 0, last_step = 0;
  bool cut = false;            // the file ends within a record: the run is being written, or was killed
  int64_t out_of_order = 0;    // records left out, for a later one stands before them
  int64_t left_out_names = 0;  // scalars beyond what a report keeps

  // Null where the run has none of that name.
  const Series* find(std::string_view name) const;
};

// Throws FormatError naming the line that is no record, and when there is no record at all.
RunScalars read_scalars(const std::string& path);

}  // namespace fathom
