// What a plugin says of a device, whether it is there (of a client) or not (of a topology).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/plugin.h"

struct PJRT_DeviceDescription;

namespace fathom {

struct DeviceDescription {
  int id = 0;                // unique in the job; what device assignments name
  int process_index = 0;     // the process that can feed and fetch it
  int slice_index = 0;       // of the group with a fast network of its own that it belongs to
  std::string kind;          // "cpu", "TPU v5p", "NVIDIA H100 80GB HBM3"
  int64_t memory_bytes = 0;  // what programs may use of its memory; 0 where the description does not say
};

DeviceDescription describe(const Plugin& plugin, PJRT_DeviceDescription* handle);

}  // namespace fathom
