// Configurations of a small model, for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {

using Args = std::vector<std::string>;

// A small model and synthetic data, on one CPU device; `more` follows.
inline Args tiny(Args more = {}) {
  Args args = {"configs/base.yml", "model_name=deepseek3-tiny", "dataset_type=synthetic", "run_name=r",
               "base_output_directory=out"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

inline Resolved resolve(const Args& args, const Environment& environment = {}) {
  return resolve_config(args, environment);
}

// The message of a configuration that must not be accepted.
inline std::string refusal(const Args& args, const Environment& environment = {}, const ResolveOptions& options = {}) {
  try {
    resolve_config(args, environment, options);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace fathom
