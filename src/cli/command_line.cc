#include "cli/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "config/keys/keys.h"

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

// True, false, or nothing for a word that is neither.
std::optional<bool> truth_of(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

// The flag of this name, however it spells its dashes.
const FlagSpec& known_flag(const std::string& command, const std::string& written, std::span<const FlagSpec> flags) {
  std::string name = with_underscores(written);
  std::vector<std::string> names;
  for (const FlagSpec& flag : flags) {
    if (flag.name == name) return flag;
    names.emplace_back(flag.name);
  }
  std::vector<std::string> near = nearest_names(name, names);
  std::string hint = near.empty() ? "" : fmt::format(" (nearest: --{})", fmt::join(near, ", --"));
  if (find_key(name) != nullptr) hint = fmt::format(" ({} is a key: give {}=...)", name, name);
  throw ConfigError(fmt::format("{}: unknown flag --{}{}; it takes {}", command, written, hint,
                                names.empty() ? "none" : fmt::format("--{}", fmt::join(names, ", --"))));
}

}  // namespace

std::optional<std::string> CommandLine::flag(const std::string& name) const {
  auto it = flags.find(name);
  if (it == flags.end()) return std::nullopt;
  return it->second;
}

std::optional<std::string> CommandLine::key(std::string_view name) const {
  std::optional<std::string> out;
  for (const std::string& word : config) {
    const bool names = word.starts_with(name) && word.size() > name.size() && word[name.size()] == '=';
    if (names) out = word.substr(name.size() + 1);
  }
  return out;
}

std::string CommandLine::required_flag(const std::string& name, std::string_view what) const {
  std::string value = flag(name).value_or("");
  if (value.empty()) throw ConfigError(fmt::format("{}: --{} is missing: {}", command, name, what));
  return value;
}

bool CommandLine::has_bare(const std::string& name) const {
  std::string value = flag(name).value_or("false");
  if (value.empty() || value == "true") return true;
  if (value == "false") return false;
  throw ConfigError(fmt::format("{}: --{} takes no value", command, name));
}

bool CommandLine::truth_flag(const std::string& name, bool otherwise) const {
  const std::optional<std::string> text = flag(name);
  if (!text) return otherwise;
  if (text->empty()) return true;
  const std::optional<bool> truth = truth_of(*text);
  if (!truth) throw ConfigError(fmt::format("{}: --{}={}: true or false", command, name, *text));
  return *truth;
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

std::optional<double> CommandLine::number_flag(const std::string& name) const {
  const std::optional<std::string> text = flag(name);
  if (!text) return std::nullopt;
  double number = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc() || stop != end || !std::isfinite(number) || number < 0) {
    throw ConfigError(fmt::format("{}: --{}={}: must be a number of at least 0", command, name, *text));
  }
  return number;
}

void CommandLine::refuse_words() const {
  if (words.empty()) return;
  std::string hint;
  if (size_t equals = words[0].find('='); equals != std::string::npos) {
    std::string key = with_underscores(words[0].substr(0, equals));
    if (find_key(key) != nullptr) hint = fmt::format(" (the key is {})", key);
  }
  throw ConfigError(fmt::format("{}: '{}' is neither a .yml file nor key=value{}", command, words[0], hint));
}

std::string command_of(std::span<const std::string> args) {
  auto word = std::find_if(args.begin(), args.end(), [](const std::string& w) { return !w.starts_with('-'); });
  return word == args.end() ? "" : word->substr(word->rfind('.') + 1);
}

CommandLine parse_command_line(std::span<const std::string> args, std::span<const FlagSpec> flags) {
  CommandLine out{.command = command_of(args), .config = {}, .flags = {}, .words = {}};
  bool command_seen = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& word = args[i];
    if (word == "-h" || word == "--help") {
      out.flags["help"] = "";
    } else if (!command_seen && !word.starts_with('-')) {
      command_seen = true;
    } else if (word.starts_with("--")) {
      size_t equals = word.find('=');
      const FlagSpec& flag =
          known_flag(out.command, word.substr(2, equals == std::string::npos ? equals : equals - 2), flags);
      std::string& value = out.flags[std::string(flag.name)];
      if (equals != std::string::npos) {
        value = word.substr(equals + 1);
      } else if (flag.value.empty()) {
        value = "";
      } else if (flag.value.starts_with('[')) {
        value = i + 1 < args.size() && truth_of(args[i + 1]) ? args[++i] : "";
      } else if (i + 1 < args.size() && !args[i + 1].starts_with("--")) {
        value = args[++i];
      } else {
        throw ConfigError(
            fmt::format("{}: --{} needs a value: --{}={}", out.command, flag.name, flag.name, flag.value));
      }
    } else if (word.ends_with(".yml") || word.ends_with(".yaml") || is_key_value(word)) {
      out.config.push_back(word);
    } else {
      out.words.push_back(word);
    }
  }
  return out;
}

}  // namespace fathom
