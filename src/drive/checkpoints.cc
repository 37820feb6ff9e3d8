#include "drive/checkpoints.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/stopwatch.h"
#include "base/units.h"
#include "base/waiting.h"
#include "config/resolve/hf_config_text.h"
#include "config/resolve/resolve.h"
#include "convert/conversion.h"
#include "convert/source_folder.h"
#include "convert/weight_findings.h"
#include "drive/same_run.h"
#include "session/state_load.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr std::string_view kConfig = "config.yml";

// In the folder `checkpoints`, of a run that has none yet.
constexpr std::string_view kNoneYet = "none_yet";

std::string checkpoints_of(const Config& config) { return join_path(config.run_directory, "checkpoints"); }

bool is_file(const std::string& path) { return file_store(path).kind(path) == PathKind::kFile; }

std::string position_file(int process) { return fmt::format("data_position/process_{}.json", process); }

// config.json and the tokenizer, as they came with the weights or as the configuration says.
std::map<std::string, std::string> files_beside(const Config& config) {
  const std::string& weights =
      config.load_parameters_path.empty() ? config.load_full_state_path : config.load_parameters_path;
  const CompanionCopy copy{.from = weights,
                           .to = "",
                           .dtype = config.weight_dtype,
                           .modules = config.mtp_num_layers,
                           .made_config = hf_config_text(config, config.weight_dtype)};
  std::map<std::string, std::string> out = {{"config.json", copy.made_config}};
  if (!weights.empty()) out = companions(copy);
  if (!config.tokenizer_path.empty()) {
    // Two tokenizers are never mixed.
    std::erase_if(out, [](const auto& file) { return is_tokenizer_file(file.first); });
    out.merge(tokenizer_files(config.tokenizer_path));
  }
  out[std::string(kConfig)] = to_yaml(config);
  return out;
}

// So many threads write beside training: an eighth of the cores.
int threads_beside_training() {
  constexpr int kMost = 8;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 8, 1, kMost);
}

}  // namespace

bool may_go_on(const Config& config) {
  const std::string folder = checkpoints_of(config);
  const bool any = !whole_steps(folder).empty();
  if (!config.enable_checkpointing) {
    if (!any) return false;
    throw ConfigError(
        fmt::format("run_name: {} holds checkpoints, with which enable_checkpointing=false does not go on: "
                    "take another run_name, or move them away",
                    folder));
  }
  if (any && config.overwrite) log_info("overwrite=true drops nothing: the run goes on after its checkpoint");
  if (any) return true;
  const std::string saved = join_path(config.run_directory, kConfig);
  if (!is_file(join_path(folder, kNoneYet)) || !is_file(saved)) return false;
  if (file_store(saved).read(saved) != to_yaml(config)) return false;
  log_info("{}: the run was ended before its first checkpoint was whole: it begins again", config.run_directory);
  return true;
}

Checkpoints::Checkpoints(const Config& config, const StateSpec& spec, StepShare process, std::chrono::seconds patience)
    : config_(config),
      spec_(spec),
      folder_(checkpoints_of(config)),
      patience_(patience),
      writer_(config, spec, process) {
  if (process.process == 0) {
    companions_ = files_beside(config);
    const std::vector<std::string> left = clear_unfinished_steps(folder_);
    if (!left.empty()) log_info("{}: removed what a save that was ended left: {}", folder_, fmt::join(left, ", "));
  }
  steps_ = whole_steps(folder_);
}

Checkpoints::~Checkpoints() {
  try {
    wait();
  } catch (const std::exception& e) {
    log_warning("{}", e.what());
  }
}

std::string Checkpoints::folder_of(int64_t step) const { return join_path(folder_, std::to_string(step)); }

void Checkpoints::require_same_run(const std::string& folder) const {
  const std::string path = join_path(folder, kConfig);
  if (!is_file(path)) {  // a peer's
    log_once(LogLevel::kWarning, folder +
                                     " has no config.yml: whether model, optimizer and mask are this run's is "
                                     "seen by its arrays alone");
    return;
  }
  const std::string saved = file_store(path).read(path);
  const std::vector<std::string> others = keys_of_another_run(saved, config_, path);
  if (others.empty()) return;
  throw ConfigError(fmt::format("{}: the checkpoint is of another run: {}; take another run_name, or its values",
                                folder, fmt::join(others, ", ")));
}

StateFolder Checkpoints::open(int64_t step) const {
  OrbaxFolder folder = OrbaxFolder::open(folder_of(step));
  require_same_run(folder_of(step));
  if (!is_remote(folder_)) folder.require_whole();
  return {std::move(folder), config_, spec_};
}

template <class Read>
auto Checkpoints::newest_readable(Read read) {
  while (true) {
    const auto newest =
        std::find_if(steps_.rbegin(), steps_.rend(), [&](int64_t step) { return !damaged_.contains(step); });
    const auto before = newest + 1;
    try {
      return read(*newest);
    } catch (const MisfitError&) {
      throw;
    } catch (const FormatError& e) {
      // Several processes would have to agree on another one.
      if (writer_.share().processes > 1) throw;
      if (before == steps_.rend()) {
        throw RuntimeFault(
            fmt::format("{}: none of the run's checkpoints can be read; the last that was tried: {}; move "
                        "the folder away to begin again, or take another run_name",
                        folder_, e.what()));
      }
      log_warning("{}: cannot be read ({}); going on from {}", folder_of(*newest), e.what(), folder_of(*before));
      damaged_.insert(*newest);
    }
  }
}

std::optional<int64_t> Checkpoints::steps_done() {
  if (!any()) return std::nullopt;
  return newest_readable([&](int64_t step) { return open(step).step(); });
}

SavedRun Checkpoints::load(const Session& session) {
  return newest_readable([&](int64_t step) {
    const StateFolder folder = open(step);
    std::optional<DataState> data = data_position(folder_of(step));  // short, and so before the state
    return SavedRun{.folder = folder_of(step),
                    .step = folder.step(),
                    .state = load_state(session, config_, spec_, folder),
                    .data = data};
  });
}

std::optional<DataState> Checkpoints::data_position(const std::string& folder) const {
  for (int process : {writer_.share().process, 0}) {
    const std::string path = join_path(folder, position_file(process));
    if (is_file(path)) return DataState::parse(file_store(path).read(path), path);
  }
  if (is_file(join_path(folder, kConfig))) throw FormatError(join_path(folder, position_file(0)), "it is not there");
  return std::nullopt;  // a peer's
}

void Checkpoints::require_space() const {
  if (writer_.share().process != 0) return;
  if (!is_remote(folder_)) require_writable("enable_checkpointing", join_path(folder_, kNoneYet));
  require_free_space(folder_, 2 * writer_.bytes());
}

void Checkpoints::reserve(State& state) {
  if (!config_.async_checkpointing) return;
  writer_.reserve(state);
  reserving_ = std::async(std::launch::async, [this] { writer_.touch(); });
}

void Checkpoints::begin() const {
  if (any() || writer_.share().process != 0) return;
  const std::string path = join_path(folder_, kNoneYet);
  file_store(path).write_atomically(path, "no checkpoint of this run is whole yet\n");
}

void Checkpoints::end() const {
  if (writer_.share().process == 0) file_store(folder_).remove(join_path(folder_, kNoneYet));
}

bool Checkpoints::due(int64_t step) const {
  return step == 0 ? config_.save_checkpoint_on_start : step % config_.checkpoint_period == 0;
}

// A damaged checkpoint that the run has gone back behind is kept under another name, but on gs:// and s3://, where
// there is no renaming.
void Checkpoints::make_way(int64_t step) const {
  const std::string folder = folder_of(step);
  if (is_remote(folder)) {
    if (!damaged_.contains(step)) return;
    log_warning("{}: removed, as it cannot be read and its step is saved again", folder);
    return remove_step(folder_, step);
  }
  if (file_store(folder).kind(folder) == PathKind::kAbsent) return;
  std::string aside = folder + ".damaged";
  for (int i = 2; file_store(aside).kind(aside) != PathKind::kAbsent; ++i) {
    aside = fmt::format("{}.damaged{}", folder, i);
  }
  std::filesystem::rename(folder, aside);
  log_warning("{}: moved to {}, as its step is saved again", folder, aside);
}

void Checkpoints::save(int64_t step, State& state, const DataState& data) {
  if (under_way_.valid()) {
    if (!written()) {
      log_info("checkpoint {}: waits until checkpoint {} is written", step, last_);
    }
    wait();
  }
  const bool first = writer_.share().process == 0;
  const int64_t free = first ? free_space(folder_) : writer_.bytes();
  if (free < writer_.bytes()) {
    throw RuntimeFault(
        fmt::format("{}: checkpoint {} needs {}, but only {} are free there; make room, or keep fewer "
                    "(max_num_checkpoints_to_keep)",
                    folder_, step, gigabytes(writer_.bytes()), gigabytes(free)));
  }
  if (first && free < 2 * writer_.bytes()) {
    log_warning("{}: {} are free, which is room for this checkpoint of {} alone", folder_, gigabytes(free),
                gigabytes(writer_.bytes()));
  }
  if (first) make_way(step);
  damaged_.erase(step);
  last_ = step;
  if (!config_.async_checkpointing) {
    writer_.hold(state);
    write(step, data, 0);
    return writer_.let_go();
  }
  if (reserving_.valid()) reserving_.get();
  const Stopwatch copying;
  const int64_t bytes = writer_.copy_out(state);
  log_info("checkpoint {}: {} copied in {:.3f} s", step, gigabytes(bytes), copying.seconds());
  under_way_ = std::async(std::launch::async, [this, step, data] { write(step, data, threads_beside_training()); });
}

void Checkpoints::write(int64_t step, const DataState& data, int threads) const {
  const Stopwatch writing;
  const StepShare& share = writer_.share();
  StepWriter files(folder_of(step), writer_.plan(), share);
  writer_.write(files, threads);
  files.put(position_file(share.process), data.to_json());
  for (const auto& [name, text] : companions_) files.put(name, text);
  files.finish();
  if (share.process != 0) return;
  files.commit(patience_);
  file_store(folder_).remove(join_path(folder_, kNoneYet));
  log_info("checkpoint {} is whole: {} in {:.2f} s", step, gigabytes(writer_.bytes()), writing.seconds());
  remove_old();
}

void Checkpoints::remove_old() const {
  if (config_.max_num_checkpoints_to_keep < 0) return;
  std::vector<int64_t> steps = whole_steps(folder_);
  std::erase_if(steps, [&](int64_t step) { return damaged_.contains(step); });
  while (std::ssize(steps) > config_.max_num_checkpoints_to_keep) {
    remove_step(folder_, steps.front());
    steps.erase(steps.begin());
  }
}

bool Checkpoints::written() const {
  return under_way_.valid() && under_way_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

void Checkpoints::wait() {
  if (!under_way_.valid()) return;
  const Waiting waiting(fmt::format("writing checkpoint {}", last_));
  under_way_.get();
}

}  // namespace fathom
