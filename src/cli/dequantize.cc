// fathom deepseek_fp8_to_bf16 --input-fp8-hf-path=A --output-bf16-hf-path=B
#include <fmt/format.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/conversion_flags.h"
#include "convert/fp8_to_bf16.h"
#include "storage/hub.h"

namespace fathom {
namespace {

// The value of a flag that has two names.
std::string one_of(const CommandLine& line, const std::string& name, const std::string& other) {
  const std::optional<std::string> a = line.flag(name), b = line.flag(other);
  if (a && b && *a != *b) {
    throw ConfigError(
        fmt::format("{}: --{}={} and --{}={} are the same flag: give one", line.command, name, *a, other, *b));
  }
  const std::string value = a.value_or(b.value_or(""));
  if (value.empty()) throw ConfigError(fmt::format("{}: --{}=FOLDER (or --{}) is needed", line.command, name, other));
  return value;
}

}  // namespace

int run_dequantize(const CommandLine& line, const Environment& environment) {
  if (!line.config.empty() || !line.words.empty()) {
    const std::string& word = line.config.empty() ? line.words[0] : line.config[0];
    throw ConfigError(fmt::format("{}: '{}' is no flag: --input-fp8-hf-path=FOLDER --output-bf16-hf-path=FOLDER",
                                  line.command, word));
  }
  const std::string input = one_of(line, "input_fp8_hf_path", "input_path");
  const std::string output = one_of(line, "output_bf16_hf_path", "output_path");
  const ConversionOptions options = conversion_options(line);
  convert_fp8_to_bf16(find_in_hub("--input-fp8-hf-path", input, HubKind::kModel, environment), output, options);
  return 0;
}

}  // namespace fathom
