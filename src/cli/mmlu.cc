// fathom mmlu [configs/base.yml] load_parameters_path=FOLDER mmlu_path=FOLDER num_shots=N key=value ... --output=FILE
#include "eval/mmlu.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/remote_path.h"
#include "cli/commands.h"
#include "cli/weights_folder.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

std::string output_of(const CommandLine& line) {
  const std::string output = line.flag("output").value_or("");
  if (is_remote(output)) {
    throw ConfigError(fmt::format("--output={}: a local file is wanted: it grows with every batch", output));
  }
  if (!output.empty()) require_writable("--output", output);
  return output;
}

}  // namespace

int run_mmlu_command(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  const std::string output = output_of(line);
  const ResolveOptions options{.needs_data = false, .needs_tokenizer = true, .found_hardware = default_hardware()};
  Config config = command_config(words_with_weights(line, environment), environment, options);
  config.mtp_num_layers = 0;  // of no use here
  fmt::print("{}", accuracy_report(run_mmlu(config, output)));
  return 0;
}

}  // namespace fathom
