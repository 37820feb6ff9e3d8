// fathom report RUN [--output=FILE]
#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/one_line.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "cli/commands.h"
#include "report/page.h"
#include "storage/file_store.h"

namespace fathom {

int run_report(const CommandLine& line, const Environment&) {
  if (!line.config.empty()) throw ConfigError("report takes no configuration, got '" + line.config[0] + "'");
  if (line.words.size() != 1) {
    throw ConfigError(fmt::format("report takes the folder of one run, got {}: fathom report RUN [--output=FILE]",
                                  line.words.size()));
  }
  const std::string& folder = line.words[0];
  const std::string output = line.flag("output").value_or(join_path(folder, "report.html"));
  // Of a folder that is not there, read_run says more.
  if (!is_remote(output) && file_store(folder).kind(folder) == PathKind::kFolder) require_writable("--output", output);
  Waiting waiting("reading " + folder);
  const RunData run = read_run(folder);
  const std::string page = report_page(run);
  file_store(output).write_atomically(output, page);
  fmt::print("report: {} {} of {} in {} ({} bytes)\n", run.scalars.records, run.scalars.records == 1 ? "step" : "steps",
             on_one_line(run.name), output, page.size());
  return 0;
}

}  // namespace fathom
