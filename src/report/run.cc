#include "report/run.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/listed.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr size_t kListed = 6;  // runs that an error names

// The folder is not a run's; runs that lie in it are named.
[[noreturn]] void fail_no_run(const std::string& folder) {
  const FileStore& store = file_store(folder);
  if (store.kind(folder) != PathKind::kFolder) {
    throw ConfigError(
        fmt::format("report: {} is no folder; the folder of a run is "
                    "<base_output_directory>/<run_name>",
                    folder));
  }
  std::vector<std::string> runs;
  for (const FolderEntry& entry : store.list(folder)) {
    const std::string inner = join_path(folder, entry.name);
    if (entry.is_folder && store.kind(join_path(inner, "metrics.jsonl")) == PathKind::kFile) runs.push_back(inner);
  }
  throw ConfigError(fmt::format("report: {} holds no metrics.jsonl, which every run writes{}", folder,
                                runs.empty() ? "" : "; there are runs in it: " + listed(runs, kListed)));
}

bool is_file(const std::string& path) { return file_store(path).kind(path) == PathKind::kFile; }

void read_settings(RunData& run) {
  const std::string path = join_path(run.folder, "config.yml");
  if (!is_file(path)) {
    run.notes.emplace_back("config.yml is not there: the page has no configuration.");
    return;
  }
  try {
    run.settings = settings_of(file_store(path).read(path), path);
  } catch (const ConfigError& e) {
    run.notes.push_back(fmt::format("config.yml cannot be read, so the page has no configuration: {}.", e.what()));
  }
  if (const std::string name = setting(run.settings, "run_name"); !name.empty()) run.name = name;
}

void note_scalars(RunData& run) {
  if (run.scalars.cut) {
    run.notes.emplace_back(
        "metrics.jsonl ends within a record, which is left out: the run is going on, or was killed.");
  }
  if (run.scalars.out_of_order > 0) {
    run.notes.push_back(fmt::format("{} records of metrics.jsonl stand behind one of a later step; they are left out.",
                                    run.scalars.out_of_order));
  }
  const int64_t missing = run.scalars.last_step - run.scalars.first_step + 1 - run.scalars.records;
  if (missing > 0) {
    run.notes.push_back(fmt::format("{} of the steps between the first and the last have no record.", missing));
  }
  if (run.scalars.left_out_names > 0) {
    run.notes.emplace_back("metrics.jsonl has more scalars than a page shows; some are left out.");
  }
}

}  // namespace

RunData read_run(const std::string& folder) {
  const std::string metrics = join_path(folder, "metrics.jsonl"), loads = join_path(folder, "expert_load.jsonl");
  if (!is_file(metrics)) fail_no_run(folder);
  RunData run{.name = std::string(base_name(folder)), .folder = folder, .scalars = read_scalars(metrics)};
  note_scalars(run);
  read_settings(run);
  if (is_file(loads)) run.loads = read_loads(loads);
  if (run.loads && run.loads->largest.size() == 0) run.loads.reset();
  if (run.loads && run.loads->cut) {
    run.notes.emplace_back("expert_load.jsonl ends within a line, whose step is left out.");
  }
  return run;
}

}  // namespace fathom
