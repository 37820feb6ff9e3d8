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

// How a shell names the words of the line.
struct Shell {
  const char* is_first;  // the word behind the program is being completed
  const char* word;      // which is being completed
  const char* command;
};

// Lines that put the possible words of this place into the variable `list`.
std::string list_words(const Shell& shell) {
  std::string out = fmt::format(
      "  local list\n"
      "  if [[ {} ]]; then\n"
      "    list='{}'\n"
      "  elif [[ {} == --* ]]; then\n"
      "    case {} in\n",
      shell.is_first, command_names(), shell.word, shell.command);
  for (const Command& c : commands()) out += fmt::format("      {}) list='{}' ;;\n", c.name, flags_of(c));
  return out + fmt::format(
                   "      *) list='--help' ;;\n"
                   "    esac\n"
                   "  else\n"
                   "    list='{}'\n"
                   "  fi\n",
                   keys());
}

std::string bash_script() {
  return "_fathom() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]}\n" +
         list_words({"$COMP_CWORD -eq 1", "$word", "${COMP_WORDS[1]}"}) +
         "  mapfile -t COMPREPLY < <(compgen -W \"$list\" -- \"$word\")\n"
         "  [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2> /dev/null\n"
         "}\n"
         "complete -o bashdefault -o default -F _fathom fathom\n";
}

// What ends in `=` gets no space behind it, and behind it stands a file as a rule.
std::string zsh_script() {
  return "(( $+functions[compdef] )) || { autoload -U compinit && compinit }\n"
         "_fathom() {\n" +
         list_words({"$CURRENT -eq 2", "${words[CURRENT]}", "${words[2]}"}) +
         "  if compset -P '*='; then _files; return; fi\n"
         "  local -a all=(${=list})\n"
         "  compadd -S '' -- ${(M)all:#*=}\n"
         "  compadd -- ${all:#*=}\n"
         "  (( CURRENT == 2 )) || _files\n"
         "}\n"
         "compdef _fathom fathom\n";
}

}  // namespace

int run_completion(const CommandLine& line, const Environment&) {
  std::string shell = line.words.size() == 1 && line.config.empty() ? line.words[0] : "";
  if (shell != "bash" && shell != "zsh") throw ConfigError("completion takes one word: fathom completion bash|zsh");
  std::fputs((shell == "zsh" ? zsh_script() : bash_script()).c_str(), stdout);
  return 0;
}

}  // namespace fathom
