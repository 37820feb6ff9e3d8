// A PJRT plugin: a shared object that brings a compiler and a device runtime for one platform.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/named_value.h"

struct PJRT_Api;

namespace fathom {

// The oldest PJRT API that fathom is tested with: 0.81.
inline constexpr int kOldestApiMinor = 81;

// Loaded once per process and file, and never unloaded: XLA keeps threads and static state that do not survive that.
class Plugin {
 public:
  // Loads and initialises the plugin, or gives the one that is already loaded from this file. Throws ConfigError in one
  // line when the file is missing, is no plugin or is too old, PjrtError when its own initialisation fails. Turns XLA's
  // own log off unless the environment has TF_CPP_MIN_LOG_LEVEL.
  static const Plugin& load(const std::string& path);

  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  // Absolute, symbolic links resolved.
  const std::string& path() const { return path_; }
  const PJRT_Api* api() const { return api_; }
  // Such as "xla_version" and "stablehlo_current_version".
  const NamedValues& attributes() const { return attributes_; }
  // "PJRT 0.115, stablehlo 1.20.0", for the log.
  std::string description() const;
  // Differs for every plugin: path, size and time of change as they were when it was loaded (the file may have been
  // replaced since), API version, attributes. Part of the compile cache's key.
  std::string fingerprint() const;
  // The extension of this PJRT_Extension_Type, or null.
  const void* extension(int type) const;

 private:
  explicit Plugin(std::string path);

  std::string path_;
  std::string file_;  // path, size and time of change
  const PJRT_Api* api_ = nullptr;
  NamedValues attributes_;
};

}  // namespace fathom
