#include "cli/commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "base/log.h"
#include "session/gpu_memory.h"

namespace fathom {
namespace {

struct Command {
  std::string_view name;
  int (*run)(const CommandLine&, const Environment&);
  std::string_view usage;
  std::string_view help;
};

constexpr Command kCommands[] = {
    {"train", run_train, "[configs/base.yml] key=value ...", "pre-train on text, or go on from a Hugging Face folder"},
    {"train_compile", run_train_compile,
     "[configs/base.yml] compile_topology=v5p-256 [program=train|init|eval|forward] [--no_compile] [--text=FILE] "
     "key=value ...",
     "compile a program for a machine that is not here: what it costs, whether it fits; --no_compile only says how its "
     "state is split"},
    {"profile", run_profile, "[configs/base.yml] [--steps=N] [--output=FILE] key=value ...",
     "run train steps and show where their time goes, by layer and by operation"},
    {"verify", run_verify, "FOLDER [--only=A,B] [--scan=true|false|both] [--json] [key=value ...]",
     "compare with the references that a model or tokenizer folder holds"},
    {"demo", run_demo, "[--prompt=TEXT] [--tokens=N] [key=value ...]", "train, then complete a prompt greedily"},
    {"keys", run_keys, "", "print every configuration key with its type, default and class"},
};

std::string help_text() {
  std::string out =
      "fathom trains and verifies the DeepSeek family through XLA's PJRT plugins.\n\n"
      "usage: fathom COMMAND [configs/base.yml] [key=value ...] [--flag=value ...]\n\n";
  for (const Command& c : kCommands) out += fmt::format("  {:<8} {}\n           {}\n", c.name, c.usage, c.help);
  out +=
      "\nA dotted module path stands for its last part: maxtext.trainers.pre_train.train is train.\n"
      "Exit codes: 0 done, 1 a fault or a failed check, 2 a user's mistake, 128 + signal after a clean stop.\n";
  return out;
}

std::string names() {
  std::string out;
  for (const Command& c : kCommands) out += fmt::format("{}{}", out.empty() ? "" : ", ", c.name);
  return out;
}

}  // namespace

Config command_config(std::span<const std::string> words, const Environment& environment, ResolveOptions options) {
  options.check_environment = check_gpu_memory;
  Resolved resolved = resolve_config(words, environment, options);
  for (const std::string& notice : resolved.notices) log_info("{}", notice);
  if (resolved.config.log_config) {
    for (const KeySource& s : resolved.sources) log_info("Config param {}: {} ({})", s.key, s.value, s.origin);
  }
  return std::move(resolved.config);
}

int run_command(std::span<const std::string> args, const Environment& environment) {
  CommandLine line = parse_command_line(args);
  if (line.command == "help" || line.flags.contains("help") || args.empty()) {
    std::fputs(help_text().c_str(), stdout);
    return args.empty() ? kExitUserMistake : 0;
  }
  for (const Command& c : kCommands) {
    if (c.name == line.command) return c.run(line, environment);
  }
  throw ConfigError(fmt::format("unknown command '{}'; there are: {} (fathom --help)", line.command, names()));
}

}  // namespace fathom
