// The commands of the program: each takes its command line and returns the exit code.
#pragma once

#include <span>
#include <string>

#include "cli/command_line.h"
#include "config/resolve/resolve.h"

namespace fathom {

// Finds the command of argv (without the program's name) and runs it. Throws ConfigError for an unknown command, naming
// those there are.
int run_command(std::span<const std::string> args, const Environment& environment);

// Logs what resolving the configuration had to say, and with log_config every key that a layer sets.
void log_settings(const Resolved& resolved);

int run_train(const CommandLine& line, const Environment& environment);
int run_train_compile(const CommandLine& line, const Environment& environment);
int run_demo(const CommandLine& line, const Environment& environment);
int run_verify(const CommandLine& line, const Environment& environment);
int run_profile(const CommandLine& line, const Environment& environment);
int run_keys(const CommandLine& line, const Environment& environment);

}  // namespace fathom
