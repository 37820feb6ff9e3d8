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

// The configuration of a command that runs programs here or elsewhere: resolves the words and logs what that had to
// say, with log_config every key that a layer sets.
Config command_config(std::span<const std::string> words, const Environment& environment, ResolveOptions options);

int run_train(const CommandLine& line, const Environment& environment);
int run_train_compile(const CommandLine& line, const Environment& environment);
int run_demo(const CommandLine& line, const Environment& environment);
int run_verify(const CommandLine& line, const Environment& environment);
int run_profile(const CommandLine& line, const Environment& environment);
int run_keys(const CommandLine& line, const Environment& environment);

}  // namespace fathom
