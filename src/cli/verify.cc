// fathom verify FOLDER [--only=A,B] [--scan=true|false|both] [--json] [key=value ...]
#include "eval/verify.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"

namespace fathom {
namespace {

LayerForms layer_forms(const std::string& value) {
  if (value == "true" || value == "True") return LayerForms::kScanned;
  if (value == "false" || value == "False") return LayerForms::kUnscanned;
  if (value == "both") return LayerForms::kBoth;
  throw ConfigError(fmt::format("verify: --scan={}: true, false or both", value));
}

std::vector<std::string> comma_separated(const std::string& value) {
  std::vector<std::string> out;
  std::istringstream in(value);
  for (std::string part; std::getline(in, part, ',');) {
    if (!part.empty()) out.push_back(part);
  }
  if (out.empty()) throw ConfigError("verify: --only names no check");
  return out;
}

}  // namespace

int run_verify(const CommandLine& line, const Environment& environment) {
  if (line.words.size() != 1) {
    throw ConfigError(
        fmt::format("verify takes one folder, got {}: fathom verify FOLDER [--only=A,B]", line.words.size()));
  }
  VerifyOptions options{.folder = line.words[0], .config = line.config, .environment = environment};
  if (auto only = line.flag("only")) options.only = comma_separated(*only);
  if (auto scan = line.flag("scan")) options.forms = layer_forms(*scan);
  bool json = line.has_bare("json");

  Verifier verifier(options);
  std::vector<CheckRow> rows = verifier.run();
  VerifySummary summary = summarise(rows, options);
  std::fputs(format_report(rows, summary, json).c_str(), stdout);
  if (summary.passed + summary.failed == 0) {
    log_line(LogLevel::kError, fmt::format("verify: {} holds no references of any check", options.folder));
  }
  return summary.success() ? 0 : kExitFault;
}

}  // namespace fathom
