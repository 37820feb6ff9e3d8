// Plugins that the source tree's `run` script can install.
#pragma once

#include "base/hardware.h"

namespace fathom {

// When no plugin for TPUs is installed and the program stands in its source tree, installs libtpu there (137 MB, once)
// with `./run setup tpu`; its output goes to stderr. Does nothing for other hardware: the CUDA libraries are gigabytes,
// and whoever wants them calls `./run setup cuda`. A failure is logged; what then misses the plugin says so.
void install_plugin_if_missing(Hardware hardware);

}  // namespace fathom
