#include "checkpoint/step_writer.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "checkpoint/local_file.h"
#include "checkpoint/orbax_tree.h"
#include "checkpoint/write_journal.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Orbax's own name for a folder that is not whole: it and MaxText take none for a checkpoint.
constexpr std::string_view kUnfinished = ".orbax-checkpoint-tmp";
constexpr std::string_view kMarks = "fathom_marks";

std::optional<int64_t> step_of(std::string_view name) {
  int64_t step = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool plain = fault == std::errc{} && end == name.data() + name.size() && step >= 0;
  return plain && std::to_string(step) == name ? std::optional(step) : std::nullopt;
}

bool is_file(const std::string& folder, std::string_view name) {
  const std::string path = join_path(folder, name);
  return file_store(path).kind(path) == PathKind::kFile;
}

// On gs:// and s3:// the marker is what makes a folder whole; a local one has its name only then.
bool is_whole(const std::string& step_folder) {
  if (is_remote(step_folder)) return is_file(step_folder, kOrbaxCommitted);
  return is_file(step_folder, kOrbaxCheckpoint) || is_file(step_folder, "items/" + std::string(kOrbaxTree));
}

std::vector<FolderEntry> folders_in(const std::string& folder) {
  const FileStore& store = file_store(folder);
  if (store.kind(folder) != PathKind::kFolder) return {};
  std::vector<FolderEntry> out = store.list(folder);
  std::erase_if(out, [](const FolderEntry& entry) { return !entry.is_folder; });
  return out;
}

}  // namespace

StepWriter::StepWriter(std::string step_folder, const OrbaxPlan& plan, StepShare share)
    : step_folder_(std::move(step_folder)),
      folder_(is_remote(step_folder_) ? step_folder_ : step_folder_ + std::string(kUnfinished)),
      plan_(plan),
      share_(share) {
  const PathKind there = file_store(step_folder_).kind(step_folder_);
  // Another process may have begun there already; on gs:// and s3:// only the marker tells.
  if (is_remote(step_folder_) ? is_whole(step_folder_) : there != PathKind::kAbsent) {
    throw RuntimeFault(step_folder_ + ": there is something already; move it away");
  }
  chunks_ = plan_.open_store(join_path(folder_, "items"), share_.process);
}

StepWriter::~StepWriter() {
  chunks_.reset();
  if (whole_ || share_.process != 0) return;
  try {
    file_store(folder_).remove(folder_);
  } catch (const std::exception& e) {
    log_warning("{}", e.what());
  }
}

void StepWriter::write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements) {
  const ChunkId id = {array, plan_.number(array, place)};
  ChunkPlace where = plan_.store(*chunks_, id, elements);
  std::lock_guard lock(mutex_);
  if (!places_.emplace(id, std::move(where)).second) {
    throw std::invalid_argument(fmt::format("'{}': a chunk is written twice", plan_.arrays()[array].name));
  }
}

void StepWriter::put(const std::string& name, std::string_view content) const {
  const std::string path = join_path(folder_, name);
  if (is_remote(path)) {
    file_store(path).write_atomically(path, content);
  } else {
    const LocalFile file(path);
    file.write(content, 0);
    file.sync();
  }
}

std::string StepWriter::mark(int process) const {
  return join_path(folder_, fmt::format("{}/process_{}", kMarks, process));
}

void StepWriter::finish() {
  chunks_->sync();
  if (share_.process == 0) return;
  chunks_->close();
  std::string lines;
  for (const auto& [id, place] : places_) lines += journal_line(id, place);
  file_store(folder_).write_atomically(mark(share_.process), lines);
}

void StepWriter::take_marks(std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const Waiting waiting(step_folder_ + ": waiting for the parts of the other processes");
  const FileStore& store = file_store(folder_);
  std::vector<int> late;
  for (int process = 1; process < share_.processes; ++process) late.push_back(process);
  while (!late.empty()) {
    std::erase_if(late, [&](int process) {
      if (store.kind(mark(process)) != PathKind::kFile) return false;
      read_journal_lines(store.read(mark(process)), places_);
      return true;
    });
    if (late.empty()) return;
    if (std::chrono::steady_clock::now() >= end) {
      throw RuntimeFault(fmt::format("{}: no part of the checkpoint from process {} within {} s", step_folder_,
                                     fmt::join(late, ", "), limit.count()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(is_remote(folder_) ? 1000 : 20));
  }
}

void StepWriter::require_all() const {
  for (size_t i = 0; i < plan_.arrays().size(); ++i) {
    for (int64_t n = 0; n < plan_.arrays()[i].chunks; ++n) {
      if (places_.contains({i, n})) continue;
      throw std::logic_error(fmt::format("{}: nobody wrote all of {}", step_folder_, plan_.arrays()[i].name));
    }
  }
}

void StepWriter::commit(std::chrono::seconds limit) {
  if (share_.processes > 1) take_marks(limit);
  require_all();
  const OrbaxPlan::PutFile put_file = [this](const std::string& name, std::string_view content) { put(name, content); };
  plan_.put_metadata(
      *chunks_, [this](const ChunkId& id) { return std::move(places_.at(id)); }, put_file);
  file_store(folder_).remove(join_path(folder_, kMarks));
  plan_.put_markers(step_folder_, begun_, put_file);
  if (!is_remote(folder_)) {
    sync_tree(folder_);
    if (::rename(folder_.c_str(), step_folder_.c_str()) != 0) {
      throw RuntimeFault(step_folder_ + ": cannot make it: " + std::strerror(errno));
    }
    sync_folder(fs::absolute(step_folder_).parent_path());
  }
  whole_ = true;
}

std::vector<int64_t> whole_steps(const std::string& checkpoints) {
  std::vector<int64_t> out;
  for (const FolderEntry& entry : folders_in(checkpoints)) {
    const std::optional<int64_t> step = step_of(entry.name);
    if (step && is_whole(join_path(checkpoints, entry.name))) out.push_back(*step);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> clear_unfinished_steps(const std::string& checkpoints) {
  std::vector<std::string> out;
  for (const FolderEntry& entry : folders_in(checkpoints)) {
    const std::string path = join_path(checkpoints, entry.name);
    const bool partial = entry.name.ends_with(kUnfinished) &&
                         step_of(std::string_view(entry.name).substr(0, entry.name.size() - kUnfinished.size()));
    if (!partial && !(is_remote(checkpoints) && step_of(entry.name) && !is_whole(path))) continue;
    file_store(path).remove(path);
    out.push_back(entry.name);
  }
  return out;
}

void remove_step(const std::string& checkpoints, int64_t step) {
  const std::string path = join_path(checkpoints, std::to_string(step));
  if (is_remote(path)) {
    file_store(path).remove(join_path(path, kOrbaxCommitted));
    return file_store(path).remove(path);
  }
  const std::string doomed = path + std::string(kUnfinished);
  if (::rename(path.c_str(), doomed.c_str()) != 0) {
    throw RuntimeFault(path + ": cannot remove it: " + std::strerror(errno));
  }
  file_store(doomed).remove(doomed);
}

}  // namespace fathom
