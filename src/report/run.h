// What a run left in its folder, as far as a report shows it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/expert_loads.h"
#include "report/scalars.h"
#include "report/settings.h"

namespace fathom {

struct RunData {
  std::string name;
  std::string folder;
  RunScalars scalars;
  std::optional<RunLoads> loads;
  std::vector<Setting> settings;   // none where there is no config.yml
  std::vector<std::string> notes;  // what is missing or not whole, a sentence each
};

// Throws ConfigError when the folder is not a run's, FormatError when a file in it is not what a run writes.
RunData read_run(const std::string& folder);

}  // namespace fathom
