#include <fmt/format.h>

#include <cstdio>

#include "base/file.h"
#include "cli/commands.h"
#include "drive/profile_train.h"
#include "profile/report.h"

namespace fathom {
namespace {

// The first steps compile nothing more, but take their memory and fill the caches.
constexpr int64_t kWarmUp = 3;

}  // namespace

int run_profile(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  const std::optional<std::string> file = line.flag("output");
  if (file) require_writable("--output", *file);
  std::vector<std::string> words = line.config;
  words.push_back(fmt::format("steps={}", kWarmUp + line.count_flag("steps", 10)));
  Trainer trainer(command_config(words, environment, {}), {.writes = false});
  Profile profile = profile_train(trainer, kWarmUp);
  std::fputs(profile_text(profile).c_str(), stdout);
  if (file) write_file_atomically(*file, profile_json(profile));
  return 0;
}

}  // namespace fathom
