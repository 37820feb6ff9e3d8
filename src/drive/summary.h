// What the terminal shows of a configuration when a run starts: about ten lines instead of all keys.
#pragma once

#include <string>

#include "config/config.h"
#include "mesh/device_mesh.h"

namespace fathom {

struct SummaryFacts {
  int64_t parameters = 0;  // 0 = not known yet
  std::string device;      // "cpu x 4 (plugin xla-cpu-pjrt 0.0.1)"; empty = from the configuration
};

// What the form of the experts costs, where every token goes through all of them; empty where it does not.
std::string dense_experts_text(const Config& config);

std::string summarize(const Config& config, const DeviceMesh& mesh, const SummaryFacts& facts = {});

}  // namespace fathom
