// Environment variables.
#pragma once

#include <map>
#include <string>

namespace fathom {

// An environment as its reader took it, so that a test can give another than the process's.
using Environment = std::map<std::string, std::string>;

// That of this process, now.
Environment process_environment();

// The value of a variable; empty when it is not set.
std::string variable(const Environment& environment, const std::string& name);
// The same of this process.
std::string process_variable(const char* name);

// `~` and `~/x` with the HOME of the environment; other paths as they are. Throws ConfigError where HOME is not set.
std::string expand_home(const std::string& path, const Environment& environment);

}  // namespace fathom
