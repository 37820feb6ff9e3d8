#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"
#include "decode/generator.h"
#include "decode/prompt.h"
#include "drive/train_loop.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

// Prints "Input `prompt` -> `text` ".
void complete(Trainer& trainer, const Config& config, const std::string& prompt, int64_t count) {
  const Tokenizer& tokenizer = *trainer.tokenizer();
  const Prompt asked{.ids = prompt_ids(tokenizer, config, "--prompt", prompt), .most = count};
  const int64_t longest = std::ssize(asked.ids);
  Generator generator(trainer.session(), config, trainer.spec(), {.longest = longest, .length = longest + count - 1});
  const auto made = generator.run(trainer.state(), std::span(&asked, 1), {.eos = tokenizer.eos_id().value_or(-1)});
  fmt::print("Input `{}` -> `{}`\n", prompt, tokenizer.decode(made[0], true));
}

}  // namespace

int run_demo(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  int64_t count = line.count_flag("tokens", 48);
  Config config = command_config(line.config, environment, {.found_hardware = default_hardware()});
  config.enable_checkpointing = false;  // it always begins, and shows what came of it
  if (config.dataset_type == DatasetType::kSynthetic) {
    throw ConfigError("demo: synthetic data has no words to complete; give dataset_path and tokenizer_path");
  }
  Trainer trainer(config);
  if (trainer.tokenizer() == nullptr) throw ConfigError("demo: a prompt needs a tokenizer: give tokenizer_path");
  const std::string prompt = line.flag("prompt").value_or(config.prompt);
  prompt_ids(*trainer.tokenizer(), config, "--prompt", prompt);  // a prompt that is none is said before the run
  TrainOutcome outcome = trainer.run();
  complete(trainer, config, prompt, count);
  return outcome.signal != 0 ? 128 + outcome.signal : 0;
}

}  // namespace fathom
