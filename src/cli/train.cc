#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "drive/dump_batch.h"
#include "drive/profile_train.h"
#include "runtime/plugin_search.h"

namespace fathom {

int run_train(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  Config config = command_config(line.config, environment, {.found_hardware = default_hardware()});
  if (const std::optional<std::string> file = line.flag("dump_batch")) {
    require_writable("--dump_batch", *file);
    dump_first_batch(config, *file);
    return 0;
  }
  Trainer trainer(config);
  try {
    TrainOutcome outcome = run_with_profiler(trainer, config);
    log_info("{} steps done; metrics and configuration are in {}", outcome.steps, config.run_directory);
    return outcome.signal != 0 ? 128 + outcome.signal : 0;
  } catch (const std::exception& e) {
    trainer.log_end(e);
    throw;
  }
}

}  // namespace fathom
