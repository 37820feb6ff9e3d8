// The parts of a command line: `fathom COMMAND [file.yml] [key=value ...] [--flag=value ...] [words]`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// A flag that a command takes.
struct FlagSpec {
  std::string_view name;  // with underscores
  // What stands behind it, as help shows it: "FILE"; empty: it stands bare. "[true|false]": it may stand bare, and
  // takes the next word only if that is a truth value.
  std::string_view value;
  std::string_view help;
};

struct CommandLine {
  // The last part of a dotted module path: "maxtext.trainers.pre_train.train" is "train".
  std::string command;
  // A configuration file and key=value words, in order, as the configuration layers take them.
  std::vector<std::string> config;
  // --flag=value or --flag value; a bare --flag has the value "". Dashes and underscores inside a name are the same; -h
  // is --help.
  std::map<std::string, std::string> flags;
  // Everything else: a folder, a file.
  std::vector<std::string> words;

  // The last value given for a key, or nothing.
  std::optional<std::string> key(std::string_view name) const;
  // The value of a flag, or nothing.
  std::optional<std::string> flag(const std::string& name) const;
  // The value of a flag that must be given; `what` it is, for the ConfigError.
  std::string required_flag(const std::string& name, std::string_view what) const;
  // A flag that takes no value: whether it is there (and not "=false"). Throws ConfigError when it has another value.
  bool has_bare(const std::string& name) const;
  // A flag that is true or false, `otherwise` where it is not given; bare it is true. Throws ConfigError when it is
  // neither.
  bool truth_flag(const std::string& name, bool otherwise) const;
  // The value of a flag that counts something, `otherwise` where it is not given. Throws ConfigError when it is no
  // number of at least 1.
  int64_t count_flag(const std::string& name, int64_t otherwise) const;
  // The value of a flag that is a number, or nothing. Throws ConfigError when it is none, below 0 or not finite.
  std::optional<double> number_flag(const std::string& name) const;
  // For commands that take keys and flags alone: throws ConfigError when there are other words.
  void refuse_words() const;
};

// The command of argv, without the folders of a module path; empty when there is none.
std::string command_of(std::span<const std::string> args);
// Splits argv by the flags of its command. Throws ConfigError for other flags, with the nearest of `flags`, and for one
// without its value.
CommandLine parse_command_line(std::span<const std::string> args, std::span<const FlagSpec> flags);

}  // namespace fathom
