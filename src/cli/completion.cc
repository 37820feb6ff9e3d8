// fathom completion bash|zsh: a script that completes commands, flags and keys.
#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"
#include "config/keys/keys.h"

namespace fathom {
namespace {

std::string command_names() {
  std::string out = "help --help --version";
  for (const Command& c : commands()) out += fmt::format(" {}", c.name);
  return out;
}

std::string flags_of(const Command& command) {
  std::string out = "--help";
  for (const FlagSpec& flag : command.flags) out += fmt::format(" --{}{}", flag.name, flag.value.empty() ? "" : "=");
  return out;
}

// Keys that do something, as the beginnings of words.
std::string keys() {
  std::string out;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.key_class == KeyClass::kBuilt) out += fmt::format("{}{}=", out.empty() ? "" : " ", row.name);
    }
  }
  return out;
}

std::string script() {
  std::string out = fmt::format(
      "_fathom() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} words\n"
      "  if [[ $COMP_CWORD -eq 1 ]]; then\n"
      "    words='{}'\n"
      "  elif [[ $word == --* ]]; then\n"
      "    case ${{COMP_WORDS[1]}} in\n",
      command_names());
  for (const Command& c : commands()) out += fmt::format("      {}) words='{}' ;;\n", c.name, flags_of(c));
  out += fmt::format(
      "      *) words='--help' ;;\n"
      "    esac\n"
      "  else\n"
      "    words='{}'\n"
      "  fi\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
      "  [[ ${{COMPREPLY[0]}} != *= ]] || compopt -o nospace 2> /dev/null\n"
      "}}\n"
      "complete -o bashdefault -o default -F _fathom fathom\n",
      keys());
  return out;
}

}  // namespace

int run_completion(const CommandLine& line, const Environment&) {
  std::string shell = line.words.size() == 1 && line.config.empty() ? line.words[0] : "";
  if (shell != "bash" && shell != "zsh") throw ConfigError("completion takes one word: fathom completion bash|zsh");
  // zsh reads bash's completions; it has no mapfile.
  std::string out = script();
  if (shell == "zsh") {
    const std::string read = "mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")";
    out.replace(out.find(read), read.size(), "COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))");
    out = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + out;
  }
  std::fputs(out.c_str(), stdout);
  return 0;
}

}  // namespace fathom
