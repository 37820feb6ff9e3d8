#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "base/hardware.h"
#include "cli/commands.h"
#include "cli/commit.h"
#include "config/keys/keys.h"
#include "config/resolve/layers.h"
#include "runtime/api_version.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

// "--text=FILE", "--enable_mtp[=true|false]".
std::string written(const FlagSpec& flag) {
  if (flag.value.starts_with('[')) return fmt::format("--{}[={}", flag.name, flag.value.substr(1));
  return fmt::format("--{}{}{}", flag.name, flag.value.empty() ? "" : "=", flag.value);
}

// What the command's configuration file says of keys in the place of the table (base.yml says what the table does).
Layer values_of_file(std::string_view file) {
  if (file == kBaseConfig) return {};
  const std::string root = find_project_root();
  Problems problems;
  return file_layers(locate_config_file(std::string(file), root), root, {}, problems).own;
}

std::string shown_value(const KeyRow& row, const Layer& file) {
  const auto setting = file.find(row.name);
  const std::string text = setting == file.end() ? std::string(row.default_text) : flow_text(setting->second.raw);
  if (text.empty()) return "empty";
  return text.size() <= 40 ? text : "see fathom keys";
}

}  // namespace

std::string general_help() {
  std::string out =
      "fathom trains, verifies and converts the DeepSeek family through XLA's PJRT plugins.\n\n"
      "usage: fathom COMMAND [configs/base.yml] [key=value ...] [--flag=value ...]\n\n";
  size_t width = 0;
  for (const Command& c : commands()) width = std::max(width, c.name.size());
  for (const Command& c : commands()) out += fmt::format("  {:<{}}  {}\n", c.name, width, c.help);
  out +=
      "\nfathom COMMAND --help says more of one, fathom keys WORD of configuration keys, fathom --version what is\n"
      "installed. A dotted module path stands for its last part: maxtext.trainers.pre_train.train is train.\n"
      "--flag value is --flag=value; dashes and underscores in a flag's name are the same.\n"
      "Exit codes: 0 done, 1 a fault or a failed check, 2 a user's mistake, 128 + signal after a clean stop.\n";
  return out;
}

std::string command_help(const Command& command) {
  std::string out = fmt::format("fathom {}: {}\n\nusage: fathom {} {}{}\n", command.name, command.help, command.name,
                                command.usage, command.flags.empty() ? "" : " [--flag=value ...]");
  if (!command.flags.empty()) {
    out += "\nflags:\n";
    size_t width = 0;
    for (const FlagSpec& flag : command.flags) width = std::max(width, written(flag).size());
    for (const FlagSpec& flag : command.flags) out += fmt::format("  {:<{}}  {}\n", written(flag), width, flag.help);
  }
  if (!command.keys.empty()) {
    out += fmt::format("\nkeys that matter most, with their values in {} (fathom keys prints all):\n", command.config);
    const Layer file = values_of_file(command.config);
    std::istringstream keys{std::string(command.keys)};
    for (std::string key; keys >> key;) {
      const KeyRow& row = *find_key(key);
      out += fmt::format("  {} ({}): {}\n", row.name, shown_value(row, file), row.help);
    }
  }
  return out;
}

std::string version_text() {
  std::string out =
      fmt::format("fathom {} (commit {})\nPJRT API {}\nplugins:\n", kVersion, kCommit, pjrt_api_version());
  for (Hardware hardware : {Hardware::kCpu, Hardware::kTpu, Hardware::kGpu}) {
    std::vector<std::string> found = installed_plugins(hardware);
    out +=
        fmt::format("  {}: {}\n", name(hardware), found.empty() ? "none" : fmt::format("{}", fmt::join(found, ", ")));
  }
  return out;
}

}  // namespace fathom
