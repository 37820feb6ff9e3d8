// The commands of the program: each takes its command line and returns the exit code.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "config/resolve/resolve.h"

namespace fathom {

inline constexpr std::string_view kBaseConfig = "configs/base.yml", kSftConfig = "configs/post_train/sft.yml";

struct Command {
  std::string_view name;
  int (*run)(const CommandLine&, const Environment&);
  std::string_view usage;  // what stands behind the name
  std::string_view help;
  std::span<const FlagSpec> flags = {};
  std::string_view keys = {};             // those that matter most to it, separated by spaces
  std::string_view config = kBaseConfig;  // the configuration file where none is named
};

// All commands, in the order of the help.
std::span<const Command> commands();

// Finds the command of argv (without the program's name) and runs it. Throws ConfigError for an unknown command, naming
// those there are.
int run_command(std::span<const std::string> args, const Environment& environment);

// What `fathom --help`, `fathom COMMAND --help` and `fathom --version` print.
std::string general_help();
std::string command_help(const Command& command);
std::string version_text();

// The configuration of a command that runs programs here or elsewhere: resolves the words and logs what that had to
// say, with log_config every key that a layer sets.
Config command_config(std::span<const std::string> words, const Environment& environment, ResolveOptions options);

int run_train(const CommandLine& line, const Environment& environment);
int run_train_sft(const CommandLine& line, const Environment& environment);
int run_train_compile(const CommandLine& line, const Environment& environment);
int run_demo(const CommandLine& line, const Environment& environment);
int run_logit_checker(const CommandLine& line, const Environment& environment);
int run_generate_golden_logits(const CommandLine& line, const Environment& environment);
int run_decode(const CommandLine& line, const Environment& environment);
int run_chat(const CommandLine& line, const Environment& environment);
int run_mmlu_command(const CommandLine& line, const Environment& environment);
int run_verify(const CommandLine& line, const Environment& environment);
int run_profile(const CommandLine& line, const Environment& environment);
int run_to_maxtext(const CommandLine& line, const Environment& environment);
int run_convert_scanned(const CommandLine& line, const Environment& environment);
int run_convert_unscanned(const CommandLine& line, const Environment& environment);
int run_to_hugging_face(const CommandLine& line, const Environment& environment);
int run_inspect(const CommandLine& line, const Environment& environment);
int run_report(const CommandLine& line, const Environment& environment);
int run_keys(const CommandLine& line, const Environment& environment);
int run_completion(const CommandLine& line, const Environment& environment);
int run_dequantize(const CommandLine& line, const Environment& environment);

}  // namespace fathom
