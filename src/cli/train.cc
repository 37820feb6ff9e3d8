#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "drive/profile_train.h"
#include "runtime/plugin_search.h"

namespace fathom {

int run_train(const CommandLine& line, const Environment& environment) {
  line.allow_flags({});
  if (!line.words.empty()) throw ConfigError("train: '" + line.words[0] + "' is neither a .yml file nor key=value");
  Resolved resolved = resolve_config(line.config, environment, {.found_hardware = default_hardware()});
  log_settings(resolved);
  Trainer trainer(resolved.config);
  TrainOutcome outcome = run_with_profiler(trainer, resolved.config);
  log_info("{} steps done; metrics and configuration are in {}", outcome.steps, resolved.config.run_directory);
  return outcome.signal != 0 ? 128 + outcome.signal : 0;
}

}  // namespace fathom
