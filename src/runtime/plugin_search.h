// Where a PJRT plugin comes from: a flag, the environment, or an installed wheel.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/hardware.h"

namespace fathom {

// What to run on when nothing is said: a platform whose plugin is installed and whose devices this machine shows, else
// cpu.
Hardware default_hardware();

// Whether this machine shows a device of the hardware; a CPU always does.
bool shows_devices(Hardware hardware);

// The path of the plugin to load, absolute or relative as given: `flag` (the value of plugin=PATH; empty when not set),
// else the environment's FATHOM_PLUGIN, else the first of installed_plugins(). Throws ConfigError in one line that says
// what was searched and what to install.
std::string find_plugin(const std::string& flag, Hardware hardware);

// Where wheels are looked for, in this order: the folder FATHOM_SITE_PACKAGES if the environment names one, and nothing
// else; otherwise .venv/lib/python3*/site-packages beside the program and beside
// the working folder, and in all folders above these, then the system's Python folders.
std::vector<std::filesystem::path> site_packages();

// Every plugin for this hardware in installed wheels, the default first.
std::vector<std::string> installed_plugins(Hardware hardware);

}  // namespace fathom
