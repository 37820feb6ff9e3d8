#include <fmt/format.h>

#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "drive/profile_train.h"
#include "profile/report.h"

namespace fathom {
namespace {

// The first steps compile nothing more, but take their memory and fill the caches.
constexpr int64_t kWarmUp = 3;

int64_t steps_of(const CommandLine& line) {
  std::string text = line.flag("steps").value_or("10");
  int64_t steps = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), steps);
  if (error != std::errc() || end != text.data() + text.size() || steps < 1) {
    throw ConfigError(fmt::format("--steps={}: the number of steps to measure, 1 or more", text));
  }
  return steps;
}

}  // namespace

int run_profile(const CommandLine& line, const Environment& environment) {
  constexpr std::string_view kFlags[] = {"steps", "output"};
  line.allow_flags(kFlags);
  if (!line.words.empty()) throw ConfigError("profile: '" + line.words[0] + "' is neither a .yml file nor key=value");
  std::vector<std::string> words = line.config;
  words.push_back(fmt::format("steps={}", kWarmUp + steps_of(line)));
  Resolved resolved = resolve_config(words, environment);
  log_settings(resolved);
  Trainer trainer(resolved.config);
  Profile profile = profile_train(trainer, kWarmUp);
  std::fputs(profile_text(profile).c_str(), stdout);
  if (std::optional<std::string> file = line.flag("output")) write_file_atomically(*file, profile_json(profile));
  return 0;
}

}  // namespace fathom
