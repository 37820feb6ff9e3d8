// fathom completion bash|zsh: a script that completes commands, flags, keys and the values of those that are a choice.
#include <fmt/format.h>

#include <cctype>
#include <cstdio>
#include <map>

#include "base/error.h"
#include "cli/commands.h"
#include "config/keys/keys.h"
#include "config/resolve/layers.h"

namespace fathom {
namespace {

void append(std::string& list, std::string_view word) { list += fmt::format("{}{}", list.empty() ? "" : " ", word); }

std::string command_names() {
  std::string out;
  for (const Command& c : commands()) append(out, c.name);
  return out;
}

std::string flags_of(const Command& command) {
  std::string out = "--help";
  for (const FlagSpec& flag : command.flags)
    append(out, fmt::format("--{}{}", flag.name, flag.value.empty() ? "" : "="));
  return out;
}

// Keys that do something.
std::string keys(std::string_view behind) {
  std::string out;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.key_class == KeyClass::kBuilt) append(out, fmt::format("{}{}", row.name, behind));
    }
  }
  return out;
}

// "bash zsh" of "bash|zsh", "true false" of "[true|false]"; empty for what is no list of words to choose from.
std::string alternatives(std::string_view usage) {
  std::string out;
  for (char c : usage) {
    if (c == '[' || c == ']') continue;
    if (c != '|' && std::islower(static_cast<unsigned char>(c)) == 0 &&
        std::isdigit(static_cast<unsigned char>(c)) == 0)
      return "";
    out += c == '|' ? ' ' : c;
  }
  return out.find(' ') == std::string::npos ? "" : out;
}

std::string values_of(const KeyRow& row) {
  if (row.type == KeyType::kBool) return "true false";
  std::string out;
  if (row.name == "model_name") {
    for (const std::string& name : names_of("models", find_project_root())) append(out, name);
    return out + " auto default";
  }
  if (row.type != KeyType::kChoice) return out;
  for (std::string_view choice : row.binding->choices()) {
    if (!choice.empty()) append(out, choice);
  }
  return out;
}

// What stands behind the command and is no flag; empty where only files can.
std::string words_of(const Command& command) {
  if (command.name == "keys") return keys("");
  return command.keys.empty() ? alternatives(command.usage) : keys("=");
}

// By the words that may stand behind a key or a flag: those keys and flags, as a pattern of `case`.
std::map<std::string, std::string> patterns_of_values() {
  std::map<std::string, std::string> names;
  auto add = [&](std::string_view name, const std::string& values) {
    std::string& pattern = names[values];
    const bool there = ("|" + pattern + "|").find(fmt::format("|{}|", name)) != std::string::npos;
    if (!values.empty() && !there) pattern += fmt::format("{}{}", pattern.empty() ? "" : "|", name);
  };
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.key_class == KeyClass::kBuilt) add(row.name, values_of(row));
    }
  }
  for (const Command& c : commands()) {
    for (const FlagSpec& flag : c.flags) add(flag.name, alternatives(flag.value));
  }
  names.erase("");
  return names;
}

// Two functions for either shell, which put the possible words into the caller's `list`.
std::string lists() {
  std::string out = fmt::format(
      "# _fathom_words COMMAND WORD: what WORD, behind COMMAND, may become. COMMAND may be a dotted path.\n"
      "_fathom_words() {{\n"
      "  local flags='--help' words=''\n"
      "  case ${{1##*.}} in\n"
      "    help) words='{}' ;;\n",
      command_names());
  for (const Command& c : commands()) {
    out += fmt::format("    {}) flags='{}' words={} ;;\n", c.name, flags_of(c),
                       words_of(c) == keys("=") ? "$_fathom_keys" : "'" + words_of(c) + "'");
  }
  out +=
      "  esac\n"
      "  list=$words\n"
      "  [[ $2 != --* ]] || list=$flags\n"
      "  [[ $2 != --*-* ]] || list=${flags//_/-}\n"
      "}\n"
      "# _fathom_values NAME: the values of a key or flag; none where a file or a number stands.\n"
      "_fathom_values() {\n"
      "  local name=${1#--}\n"
      "  list=\n"
      "  case ${name//-/_} in\n";
  for (const auto& [values, pattern] : patterns_of_values()) {
    out += fmt::format("    {}) list='{}' ;;\n", pattern, values);
  }
  return fmt::format("_fathom_keys='{}'\n_fathom_commands='help --help --version {}'\n", keys("="), command_names()) +
         out +
         "  esac\n"
         "}\n";
}

// Bash cuts words at `=`, unless its user has told it not to: `front` is then what is left in front of the value.
constexpr const char* kBash = R"(_fathom() {
  local word=${COMP_WORDS[COMP_CWORD]} list='' front=''
  if [[ $COMP_CWORD -eq 1 ]]; then
    list=$_fathom_commands
  elif [[ $word == = ]]; then
    _fathom_values "${COMP_WORDS[COMP_CWORD - 1]}"
    word=''
  elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
    _fathom_values "${COMP_WORDS[COMP_CWORD - 2]}"
  elif [[ $word == *=* ]]; then
    front=${word%%=*}= word=${word#*=}
    _fathom_values "${front%=}"
  else
    _fathom_words "${COMP_WORDS[1]}" "$word"
  fi
  mapfile -t COMPREPLY < <(compgen -P "$front" -W "$list" -- "$word")
  [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2> /dev/null
}
complete -o bashdefault -o default -F _fathom fathom
)";

// What ends in `=` gets no space behind it.
constexpr const char* kZsh = R"((( $+functions[compdef] )) || { autoload -U compinit && compinit }
_fathom() {
  local list='' word=${words[CURRENT]}
  if (( CURRENT == 2 )); then
    list=$_fathom_commands
  elif compset -P '*='; then
    _fathom_values "${word%%=*}"
  else
    _fathom_words "${words[2]}" "$word"
  fi
  local -a all=(${=list})
  compadd -S '' -- ${(M)all:#*=}
  compadd -- ${all:#*=}
  (( CURRENT == 2 )) || _files
}
compdef _fathom fathom
)";

}  // namespace

int run_completion(const CommandLine& line, const Environment&) {
  std::string shell = line.words.size() == 1 && line.config.empty() ? line.words[0] : "";
  if (shell != "bash" && shell != "zsh") throw ConfigError("completion takes one word: fathom completion bash|zsh");
  std::fputs((lists() + (shell == "zsh" ? kZsh : kBash)).c_str(), stdout);
  return 0;
}

}  // namespace fathom
