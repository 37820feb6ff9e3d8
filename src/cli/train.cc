#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "drive/dump_batch.h"
#include "drive/profile_train.h"
#include "runtime/plugin_search.h"

namespace fathom {

namespace {

int train(const CommandLine& line, const Config& config) {
  const bool show = line.has_bare("show_example");
  if (const std::optional<std::string> file = line.flag("dump_batch")) {
    require_writable("--dump_batch", *file);
    if (std::filesystem::exists(*file) && !std::filesystem::is_regular_file(*file)) {
      throw ConfigError("--dump_batch=" + *file + ": is no regular file");
    }
    dump_first_batch(config, *file, show);
    return 0;
  }
  Trainer trainer(config, {.show_example = show});
  try {
    TrainOutcome outcome = run_with_profiler(trainer, config);
    log_info("{} steps done; metrics and configuration are in {}", outcome.steps, config.run_directory);
    return outcome.signal != 0 ? 128 + outcome.signal : 0;
  } catch (const std::exception& e) {
    trainer.log_end(e);
    throw;
  }
}

}  // namespace

int run_train(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  return train(line, command_config(line.config, environment, {.found_hardware = default_hardware()}));
}

// As the peer's train_sft_native: whatever the file says, the data are conversations and the loss is a mean over
// tokens.
int run_train_sft(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  std::vector<std::string> words = line.config;
  words.emplace_back("use_tunix_gradient_accumulation=False");
  // In front of the user's own keys, so that what they say is seen.
  const auto first_key = std::ranges::find_if(words, [](const auto& word) { return word.find('=') != word.npos; });
  words.insert(first_key, "use_sft=True");
  const ResolveOptions options{.default_file = std::string(kSftConfig), .found_hardware = default_hardware()};
  const Config config = command_config(words, environment, options);
  if (!config.use_sft) throw ConfigError("use_sft=False: sft trains on conversations; `fathom train` trains on text");
  if (!config.sft_train_on_completion_only) {
    log_warning("sft_train_on_completion_only=False: what users say is trained too, not the answers alone");
  }
  return train(line, config);
}

}  // namespace fathom
