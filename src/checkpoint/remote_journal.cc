#include "checkpoint/remote_journal.h"

#include "base/parallel_for.h"
#include "checkpoint/write_journal.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr std::string_view kPlan = "plan";

}  // namespace

std::string RemoteJournal::plan() const {
  const std::string path = join_path(folder_, kPlan);
  const FileStore& store = file_store(path);
  return store.kind(path) == PathKind::kFile ? store.read(path) : "";
}

std::map<ChunkId, ChunkPlace> RemoteJournal::chunks() const {
  const FileStore& store = file_store(folder_);
  const std::vector<FolderEntry> files = store.list(folder_);
  std::vector<std::map<ChunkId, ChunkPlace>> parts(files.size());
  parallel_for(std::ssize(files), [&](int64_t i) {
    const std::string& name = files[static_cast<size_t>(i)].name;
    if (name != kPlan) read_journal_lines(store.read(join_path(folder_, name)), parts[static_cast<size_t>(i)]);
  });
  std::map<ChunkId, ChunkPlace> out;
  for (std::map<ChunkId, ChunkPlace>& part : parts) out.merge(part);
  return out;
}

void RemoteJournal::begin(std::string_view plan) const {
  file_store(folder_).write_atomically(join_path(folder_, kPlan), plan);
}

void RemoteJournal::add(const std::vector<std::pair<ChunkId, ChunkPlace>>& chunks) {
  std::string full;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [chunk, place] : chunks) {
      lines_ += journal_line(chunk, place);
      waiting_ += place.length;
    }
    if (waiting_ < bytes_) return;
    waiting_ = 0;
    full.swap(lines_);
  }
  file_store(folder_).write_atomically(join_path(folder_, fresh_file_name()), full);
}

void RemoteJournal::remove() const { file_store(folder_).remove(folder_); }

}  // namespace fathom
