#include "cli/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace fathom {
namespace {

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

bool is_key_value(const std::string& word) {
  size_t equals = word.find('=');
  if (equals == 0 || equals == std::string::npos) return false;
  return std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(equals),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; });
}

}  // namespace

std::optional<std::string> CommandLine::flag(const std::string& name) const {
  auto it = flags.find(name);
  if (it == flags.end()) return std::nullopt;
  return it->second;
}

bool CommandLine::has_bare(const std::string& name) const {
  std::string value = flag(name).value_or("false");
  if (value.empty() || value == "true") return true;
  if (value == "false") return false;
  throw ConfigError(fmt::format("{}: --{} takes no value", command, name));
}

void CommandLine::allow_flags(std::span<const std::string_view> known) const {
  for (const auto& [name, value] : flags) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw ConfigError(fmt::format("{}: unknown flag --{}; it takes {}", command, name,
                                  known.empty() ? "none" : fmt::format("--{}", fmt::join(known, ", --"))));
  }
}

int64_t CommandLine::count_flag(const std::string& name, int64_t otherwise) const {
  std::optional<std::string> text = flag(name);
  if (!text) return otherwise;
  int64_t count = 0;
  const char* end = text->data() + text->size();
  auto [stop, error] = std::from_chars(text->data(), end, count);
  if (error != std::errc() || stop != end || count < 1) {
    throw ConfigError(fmt::format("{}: --{}={}: must be a number of at least 1", command, name, *text));
  }
  return count;
}

void CommandLine::refuse_words() const {
  if (!words.empty())
    throw ConfigError(fmt::format("{}: '{}' is neither a .yml file nor key=value", command, words[0]));
}

CommandLine parse_command_line(std::span<const std::string> args) {
  CommandLine out;
  for (const std::string& word : args) {
    if (word == "-h") {
      out.flags["help"] = "";
    } else if (out.command.empty() && !word.starts_with("-")) {
      out.command = word.substr(word.rfind('.') + 1);
    } else if (word.starts_with("--")) {
      size_t equals = word.find('=');
      std::string name = with_underscores(word.substr(2, equals == std::string::npos ? equals : equals - 2));
      out.flags[name] = equals == std::string::npos ? "" : word.substr(equals + 1);
    } else if (word.ends_with(".yml") || word.ends_with(".yaml") || is_key_value(word)) {
      out.config.push_back(word);
    } else {
      out.words.push_back(word);
    }
  }
  return out;
}

}  // namespace fathom
