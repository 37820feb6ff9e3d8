// A configuration of several axes, and what is said of it; for the tests of this folder.
#pragma once

#include <string>

#include "base/error.h"
#include "mesh/batch_sizes.h"

namespace fathom {

inline Config with_axes() {
  Config c;
  c.mesh_axes = {"diloco", "data", "stage", "fsdp", "tensor", "expert"};
  c.per_device_batch_size = 1;
  c.eval_per_device_batch_size = 1;
  c.logical_axis_rules = {{"activation_batch", {"data", "fsdp", "expert"}}};
  return c;
}

// The refusal of a mesh or of its batch, or "accepted".
inline std::string message(const Config& c, int64_t devices, int64_t slices = 1) {
  try {
    check_batch_split(c, resolve_mesh(c, devices, slices));
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace fathom
