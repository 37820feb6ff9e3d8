#include "base/log.h"
#include "cli/commands.h"
#include "drive/profile_train.h"
#include "runtime/plugin_search.h"

namespace fathom {

int run_train(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  Config config = command_config(line.config, environment, {.found_hardware = default_hardware()});
  Trainer trainer(config);
  TrainOutcome outcome = run_with_profiler(trainer, config);
  log_info("{} steps done; metrics and configuration are in {}", outcome.steps, config.run_directory);
  return outcome.signal != 0 ? 128 + outcome.signal : 0;
}

}  // namespace fathom
