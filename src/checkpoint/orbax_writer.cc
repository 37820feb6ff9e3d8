#include "checkpoint/orbax_writer.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "checkpoint/local_file.h"
#include "checkpoint/partial_folder.h"
#include "checkpoint/remote_journal.h"
#include "checkpoint/write_journal.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr const char* kDataFolder = "ocdbt.process_0/";

}  // namespace

class OrbaxWriter::Attempt {
 public:
  Attempt(std::string step_folder, std::vector<StoredArraySpec> arrays, OrbaxOptions options);
  ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  bool has(size_t array, std::span<const int64_t> place) const;
  void write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements);
  void finish();
  std::string folder() const { return partial_ ? partial_->content() : step_folder_; }

 private:
  enum class State : uint8_t { kMissing, kUnderWay, kWhole };
  struct Chunk {
    State state = State::kMissing;
    ChunkPlace place = {};
  };

  void begin_local();
  void begin_remote();
  void take_over(const ChunkId& id, const ChunkPlace& place);
  void say_what_is_whole() const;
  // Calls `sync`. When it throws, nobody knows what the disk has: the attempt cannot go on, another one can.
  void on_disk(const std::function<void()>& sync);
  void require_disk() const;
  void require_all() const;
  // A file of the step folder.
  void put_file(const std::string& name, std::string_view content) const;

  const std::string step_folder_;
  const OrbaxPlan plan_;
  std::vector<std::vector<Chunk>> states_;  // of the chunks of each array
  std::optional<PartialFolder> partial_;    // local folders
  std::unique_ptr<WriteJournal> journal_;
  std::unique_ptr<RemoteJournal> remote_;  // the others
  std::unique_ptr<ChunkStore> chunks_;
  const int64_t begun_ = nanoseconds_now();
  bool finished_ = false;

  mutable std::mutex mutex_;  // of the states and `unsynced_`
  int64_t unsynced_ = 0;
  bool disk_failed_ = false;
  int64_t whole_ = 0;  // chunks
};

OrbaxWriter::Attempt::Attempt(std::string step_folder, std::vector<StoredArraySpec> arrays, OrbaxOptions options)
    : step_folder_(std::move(step_folder)), plan_(std::move(arrays), std::move(options)) {
  for (const OrbaxPlan::Array& array : plan_.arrays()) states_.emplace_back(static_cast<size_t>(array.chunks));
  DataFileOptions data;
  if (is_remote(step_folder_)) {
    begin_remote();
    data.written = [this](const auto& chunks) { remote_->add(chunks); };
  } else {
    begin_local();
  }
  chunks_ = plan_.open_store(join_path(folder(), "items"), 0, std::move(data));
}

OrbaxWriter::Attempt::~Attempt() {
  chunks_.reset();
  journal_.reset();
  if (partial_ && !finished_ && whole_ == 0) partial_->discard();
}

void OrbaxWriter::Attempt::take_over(const ChunkId& id, const ChunkPlace& place) {
  states_.at(id.first).at(static_cast<size_t>(id.second)) = {.state = State::kWhole, .place = place};
  ++whole_;
}

void OrbaxWriter::Attempt::say_what_is_whole() const {
  if (whole_ == 0) return;
  log_info("{}: goes on from an attempt of before: {} of {} chunks are whole", step_folder_, whole_, plan_.chunks());
}

// Nothing is renamed there: the journal beside the folder says that what is in it is not whole. Without a database
// nothing says which of its files are.
void OrbaxWriter::Attempt::begin_remote() {
  const FileStore& store = file_store(step_folder_);
  remote_ = std::make_unique<RemoteJournal>(step_folder_ + ".unfinished", plan_.options().sync_bytes);
  const std::string plan = plan_.identity(), before = remote_->plan();
  if (before.empty() && store.kind(step_folder_) != PathKind::kAbsent) refuse_taken(step_folder_);
  if (before == plan && plan_.options().ocdbt) {
    std::set<std::string> kept;
    for (const auto& [id, place] : remote_->chunks()) {
      take_over(id, place);
      kept.insert(place.file);
    }
    say_what_is_whole();
    const std::string data = join_path(step_folder_, "items/" + (kDataFolder + std::string("d")));
    if (store.kind(data) != PathKind::kFolder) return;
    for (const FolderEntry& file : store.list(data)) {
      if (!kept.contains(kDataFolder + ("d/" + file.name))) store.remove(join_path(data, file.name));
    }
    store.remove(join_path(step_folder_, "items/d"));
    return;
  }
  if (!before.empty()) {
    log_info("{}: removed what an attempt of before left", step_folder_);
    store.remove(step_folder_);
    remote_->remove();
  }
  remote_->begin(plan);
}

// Takes over what an attempt of before left whole.
void OrbaxWriter::Attempt::begin_local() {
  partial_.emplace(step_folder_);
  try {
    journal_ = std::make_unique<WriteJournal>(partial_->journal(), plan_.identity());
  } catch (const RuntimeFault&) {
    partial_->discard();
    throw;
  }
  std::map<std::string, int64_t> kept;
  for (const auto& [id, place] : journal_->chunks()) {
    const std::string file = "items/" + place.file;
    const int64_t end = place.offset + place.length;
    if (!place.file.empty()) {
      std::error_code fault;
      const auto size = std::filesystem::file_size(join_path(partial_->content(), file), fault);
      if (fault || static_cast<int64_t>(size) < end) continue;
      kept[file] = std::max(kept[file], end);
    }
    take_over(id, place);
  }
  if (journal_->emptied()) {
    log_info("{}: removed what an attempt of before left: it was of other arrays, options or sources", step_folder_);
  }
  say_what_is_whole();
  partial_->keep(kept);
}

bool OrbaxWriter::Attempt::has(size_t array, std::span<const int64_t> place) const {
  const auto n = static_cast<size_t>(plan_.number(array, place));
  std::lock_guard lock(mutex_);
  return states_[array][n].state == State::kWhole;
}

void OrbaxWriter::Attempt::write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements) {
  const int64_t n = plan_.number(array, place);
  require_disk();
  Chunk& chunk = states_[array][static_cast<size_t>(n)];
  {
    std::lock_guard lock(mutex_);
    if (chunk.state != State::kMissing) {
      throw std::invalid_argument(
          fmt::format("'{}': chunk [{}] is written twice", plan_.arrays()[array].name, fmt::join(place, ", ")));
    }
    chunk.state = State::kUnderWay;
  }
  try {
    chunk.place = plan_.store(*chunks_, {array, n}, elements);
    const int64_t in_journal = journal_ == nullptr ? 0 : journal_->add({array, n}, chunk.place);
    std::unique_lock lock(mutex_);
    chunk.state = State::kWhole;
    ++whole_;
    unsynced_ += chunk.place.length;
    if (journal_ == nullptr || unsynced_ < plan_.options().sync_bytes) return;
    unsynced_ = 0;
    lock.unlock();
    on_disk([&] { chunks_->sync(); });
    journal_->on_disk(in_journal);
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (chunk.state == State::kUnderWay) chunk.state = State::kMissing;
    throw;
  }
}

void OrbaxWriter::Attempt::on_disk(const std::function<void()>& sync) {
  try {
    sync();
  } catch (const RuntimeFault&) {
    {
      std::lock_guard lock(mutex_);
      disk_failed_ = true;
    }
    journal_->disk_failed();
    throw;
  }
}

void OrbaxWriter::Attempt::require_disk() const {
  std::lock_guard lock(mutex_);
  if (disk_failed_) throw RuntimeFault(step_folder_ + ": cannot write: the disk failed before");
}

void OrbaxWriter::Attempt::put_file(const std::string& name, std::string_view content) const {
  if (!partial_) {
    file_store(step_folder_).write_atomically(join_path(step_folder_, name), content);
    return;
  }
  LocalFile(join_path(partial_->content(), name)).write(content, 0);
}

void OrbaxWriter::Attempt::require_all() const {
  std::vector<std::string> missing;
  for (size_t i = 0; i < states_.size(); ++i) {
    const auto count =
        std::ranges::count_if(states_[i], [](const Chunk& chunk) { return chunk.state != State::kWhole; });
    if (count == 0) continue;
    missing.push_back(fmt::format("{} ({} of {} chunks)", plan_.arrays()[i].name, count, states_[i].size()));
  }
  if (!missing.empty()) throw std::logic_error(fmt::format("not written: {}", fmt::join(missing, ", ")));
}

void OrbaxWriter::Attempt::finish() {
  require_disk();
  require_all();
  const OrbaxPlan::PutFile put = [this](const std::string& name, std::string_view content) { put_file(name, content); };
  plan_.put_metadata(
      *chunks_,
      [this](const ChunkId& id) { return std::move(states_[id.first][static_cast<size_t>(id.second)].place); }, put);
  plan_.put_markers(step_folder_, begun_, put);
  if (partial_) {
    const Waiting waiting(step_folder_ + ": waiting for the disk");
    on_disk([&] { partial_->sync(); });
    partial_->commit();
  } else {
    remote_->remove();
  }
  finished_ = true;
}

OrbaxWriter::OrbaxWriter(std::string step_folder, std::vector<StoredArraySpec> arrays, OrbaxOptions options) {
  while (step_folder.size() > 1 && step_folder.back() == '/') step_folder.pop_back();
  attempt_ = std::make_unique<Attempt>(std::move(step_folder), std::move(arrays), std::move(options));
}

OrbaxWriter::~OrbaxWriter() = default;

bool OrbaxWriter::has(size_t array, std::span<const int64_t> place) const { return attempt_->has(array, place); }

void OrbaxWriter::write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements) {
  attempt_->write(array, place, elements);
}

std::string OrbaxWriter::folder() const { return attempt_->folder(); }
void OrbaxWriter::finish() { attempt_->finish(); }

}  // namespace fathom
