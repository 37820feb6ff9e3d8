#include "checkpoint/orbax_writer.h"

#include <chrono>
#include <cstring>
#include <mutex>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "checkpoint/chunk_store.h"
#include "checkpoint/local_file.h"
#include "checkpoint/ocdbt_writer.h"
#include "checkpoint/orbax_metadata.h"
#include "checkpoint/partial_folder.h"
#include "checkpoint/remote_journal.h"
#include "checkpoint/write_journal.h"
#include "checkpoint/zarr_writer.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr const char* kDataFolder = "ocdbt.process_0/";
constexpr int64_t kMaxObjectBytes = int64_t{64} << 20;

int64_t nanoseconds_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string name_of(const std::vector<std::string>& path) { return fmt::format("{}", fmt::join(path, ".")); }

void check_grid(const StoredArraySpec& array) {
  auto refuse = [&](std::string_view why) {
    throw std::invalid_argument(fmt::format("array '{}': {}", name_of(array.path), why));
  };
  if (array.path.empty()) refuse("it has no name");
  if (array.chunk.size() != array.sizes.size() || array.inner.size() != array.sizes.size()) {
    refuse("its chunks have another rank");
  }
  for (size_t axis = 0; axis < array.sizes.size(); ++axis) {
    if (array.sizes[axis] < 0 || array.chunk[axis] < 1 || array.inner[axis] < 1) refuse("a size is too small");
    if (array.chunk[axis] % array.inner[axis] != 0) refuse("inner chunks do not divide its chunks");
  }
}

// No node twice, and none below another.
void check_tree(const std::vector<StoredArraySpec>& arrays, const OrbaxOptions& options) {
  std::vector<std::vector<std::string>> paths = options.empty;
  paths.insert(paths.end(), options.none.begin(), options.none.end());
  for (const StoredArraySpec& array : arrays) paths.push_back(array.path);
  std::sort(paths.begin(), paths.end());
  for (size_t i = 1; i < paths.size(); ++i) {
    const auto& above = paths[i - 1];
    if (above.size() <= paths[i].size() && std::equal(above.begin(), above.end(), paths[i].begin())) {
      throw std::invalid_argument(fmt::format("'{}' and '{}' in one tree", name_of(above), name_of(paths[i])));
    }
  }
}

// What an attempt must share with the one before it.
std::string plan_of(const std::vector<StoredArraySpec>& arrays, const OrbaxOptions& options) {
  std::vector<std::string> parts = {options.source,
                                    fmt::format("{} {} {} {}", options.ocdbt, options.zarr3, options.compress,
                                                options.scan_layers ? int{*options.scan_layers} : -1)};
  for (const auto& path : options.empty) parts.push_back("{} " + name_of(path));
  for (const auto& path : options.none) parts.push_back("None " + name_of(path));
  for (const StoredArraySpec& array : arrays) {
    parts.push_back(fmt::format("{} {} {} {} {} {}", name_of(array.path), name(array.dtype),
                                fmt::join(array.sizes, ","), fmt::join(array.chunk, ","), fmt::join(array.inner, ","),
                                array.scalar));
  }
  return hash_of_parts(parts);
}

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
  struct Array {
    std::string name;
    ZarrLayout layout;
    std::vector<int64_t> grid;  // chunks along each axis
    std::vector<Chunk> chunks;  // row-major
  };

  void prepare(std::vector<StoredArraySpec>& arrays);
  void begin_local();
  void begin_remote();
  void take_over(const ChunkId& id, const ChunkPlace& place);
  void say_what_is_whole() const;
  int64_t number(const Array& array, std::span<const int64_t> place) const;
  std::vector<int64_t> place(const Array& array, int64_t number) const;
  std::string chunk_key(const Array& array, int64_t number) const;
  ChunkPlace store(const ChunkId& id, std::span<const std::byte> elements);
  // Calls `sync`. When it throws, nobody knows what the disk has: the attempt cannot go on, another one can.
  void on_disk(const std::function<void()>& sync);
  void require_disk() const;
  void require_all() const;
  void write_database(std::vector<std::pair<std::string, ChunkPlace>> places) const;
  // A file of the step folder.
  void put_file(const std::string& name, std::string_view content) const;

  const std::string step_folder_;
  OrbaxOptions options_;
  std::vector<StoredArraySpec> specs_;
  std::vector<Array> arrays_;
  std::optional<PartialFolder> partial_;  // local folders
  std::unique_ptr<WriteJournal> journal_;
  std::unique_ptr<RemoteJournal> remote_;  // the others
  std::unique_ptr<ChunkStore> chunks_;
  const int64_t begun_ = nanoseconds_now();
  bool finished_ = false;

  mutable std::mutex mutex_;  // of the states, the encoders and `unsynced_`
  std::vector<std::unique_ptr<ChunkEncoder>> encoders_;
  int64_t unsynced_ = 0;
  bool disk_failed_ = false;
  int64_t whole_ = 0;  // chunks
};

OrbaxWriter::Attempt::Attempt(std::string step_folder, std::vector<StoredArraySpec> arrays, OrbaxOptions options)
    : step_folder_(std::move(step_folder)), options_(std::move(options)) {
  prepare(arrays);
  specs_ = std::move(arrays);
  DataFileOptions data = {.subfolder = kDataFolder, .inline_bytes = kOcdbtMaxInlineBytes};
  if (is_remote(step_folder_)) {
    begin_remote();
    options_.data_file_bytes = std::min(options_.data_file_bytes, kMaxObjectBytes);
    data.written = [this](const auto& chunks) { remote_->add(chunks); };
  } else {
    begin_local();
  }
  data.folder = join_path(folder(), "items");
  data.file_bytes = options_.data_file_bytes;
  chunks_ = options_.ocdbt ? data_file_store(data) : plain_file_store(data.folder);
}

OrbaxWriter::Attempt::~Attempt() {
  chunks_.reset();
  journal_.reset();
  if (partial_ && !finished_ && whole_ == 0) partial_->discard();
}

void OrbaxWriter::Attempt::prepare(std::vector<StoredArraySpec>& arrays) {
  if (arrays.empty()) throw std::invalid_argument("no arrays to write");
  check_tree(arrays, options_);
  for (StoredArraySpec& spec : arrays) {
    if (spec.inner.empty() || !options_.zarr3) spec.inner = spec.chunk;
    check_grid(spec);
    Array array = {.name = name_of(spec.path),
                   .layout = {.dtype = spec.dtype,
                              .sizes = spec.sizes,
                              .chunk = spec.chunk,
                              .inner = spec.inner,
                              .version = options_.zarr3 ? 3 : 2,
                              .compress = options_.compress}};
    int64_t count = 1;
    for (size_t axis = 0; axis < spec.sizes.size(); ++axis) {
      array.grid.push_back((spec.sizes[axis] + spec.chunk[axis] - 1) / spec.chunk[axis]);
      count *= array.grid.back();
    }
    array.chunks.resize(static_cast<size_t>(count));
    arrays_.push_back(std::move(array));
  }
}

void OrbaxWriter::Attempt::take_over(const ChunkId& id, const ChunkPlace& place) {
  arrays_.at(id.first).chunks.at(static_cast<size_t>(id.second)) = {.state = State::kWhole, .place = place};
  ++whole_;
}

void OrbaxWriter::Attempt::say_what_is_whole() const {
  if (whole_ == 0) return;
  size_t chunks = 0;
  for (const Array& array : arrays_) chunks += array.chunks.size();
  log_info("{}: goes on from an attempt of before: {} of {} chunks are whole", step_folder_, whole_, chunks);
}

// Nothing is renamed there: the journal beside the folder says that what is in it is not whole. Without a database
// nothing says which of its files are.
void OrbaxWriter::Attempt::begin_remote() {
  const FileStore& store = file_store(step_folder_);
  remote_ = std::make_unique<RemoteJournal>(step_folder_ + ".unfinished", options_.sync_bytes);
  const std::string plan = plan_of(specs_, options_), before = remote_->plan();
  if (before.empty() && store.kind(step_folder_) != PathKind::kAbsent) refuse_taken(step_folder_);
  if (before == plan && options_.ocdbt) {
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
    journal_ = std::make_unique<WriteJournal>(partial_->journal(), plan_of(specs_, options_));
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

int64_t OrbaxWriter::Attempt::number(const Array& array, std::span<const int64_t> place) const {
  bool inside = place.size() == array.grid.size();
  int64_t n = 0;
  for (size_t axis = 0; inside && axis < place.size(); ++axis) {
    inside = place[axis] >= 0 && place[axis] < array.grid[axis];
    n = n * array.grid[axis] + place[axis];
  }
  if (!inside) throw std::invalid_argument(fmt::format("'{}' has no chunk [{}]", array.name, fmt::join(place, ", ")));
  return n;
}

std::vector<int64_t> OrbaxWriter::Attempt::place(const Array& array, int64_t number) const {
  std::vector<int64_t> out(array.grid.size());
  for (size_t axis = out.size(); axis-- > 0; number /= array.grid[axis]) out[axis] = number % array.grid[axis];
  return out;
}

std::string OrbaxWriter::Attempt::chunk_key(const Array& array, int64_t number) const {
  return array.name + "/" + zarr_chunk_name(array.layout.version, place(array, number));
}

bool OrbaxWriter::Attempt::has(size_t array, std::span<const int64_t> place) const {
  const Array& a = arrays_.at(array);
  const auto n = static_cast<size_t>(number(a, place));
  std::lock_guard lock(mutex_);
  return a.chunks[n].state == State::kWhole;
}

void OrbaxWriter::Attempt::write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements) {
  Array& a = arrays_.at(array);
  const int64_t n = number(a, place);
  if (static_cast<int64_t>(elements.size()) != chunk_bytes(a.layout)) {
    throw std::invalid_argument(fmt::format("'{}': chunk [{}] comes with {} bytes and has {}", a.name,
                                            fmt::join(place, ", "), elements.size(), chunk_bytes(a.layout)));
  }
  require_disk();
  Chunk& chunk = a.chunks[static_cast<size_t>(n)];
  {
    std::lock_guard lock(mutex_);
    if (chunk.state != State::kMissing) {
      throw std::invalid_argument(fmt::format("'{}': chunk [{}] is written twice", a.name, fmt::join(place, ", ")));
    }
    chunk.state = State::kUnderWay;
  }
  try {
    chunk.place = store({array, n}, elements);
    const int64_t in_journal = journal_ == nullptr ? 0 : journal_->add({array, n}, chunk.place);
    std::unique_lock lock(mutex_);
    chunk.state = State::kWhole;
    ++whole_;
    unsynced_ += chunk.place.length;
    if (journal_ == nullptr || unsynced_ < options_.sync_bytes) return;
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

ChunkPlace OrbaxWriter::Attempt::store(const ChunkId& id, std::span<const std::byte> elements) {
  const Array& array = arrays_[id.first];
  std::unique_ptr<ChunkEncoder> encoder;
  {
    std::lock_guard lock(mutex_);
    if (!encoders_.empty()) {
      encoder = std::move(encoders_.back());
      encoders_.pop_back();
    }
  }
  if (encoder == nullptr) encoder = std::make_unique<ChunkEncoder>();
  ChunkPlace place = chunks_->put(chunk_key(array, id.second), id,
                                  [&](ByteSink& sink) { encoder->encode(array.layout, elements, sink); });
  std::lock_guard lock(mutex_);
  encoders_.push_back(std::move(encoder));
  return place;
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

// Manifest and nodes: where the chunks and descriptions of all arrays lie.
void OrbaxWriter::Attempt::write_database(std::vector<std::pair<std::string, ChunkPlace>> places) const {
  std::vector<OcdbtFile> files;
  std::map<std::string, int> numbers;
  std::vector<OcdbtValue> values;
  for (auto& [key, place] : places) {
    OcdbtValue value = {.key = key, .bytes = std::move(place.bytes), .offset = place.offset, .length = place.length};
    if (!place.file.empty()) {
      const auto [file, fresh] = numbers.try_emplace(place.file, static_cast<int>(files.size()));
      if (fresh) files.push_back({.base = kDataFolder, .name = place.file.substr(std::strlen(kDataFolder))});
      value.file = file->second;
    }
    values.push_back(std::move(value));
  }
  const OcdbtOptions options = {.node_file = "d/" + fresh_file_name(),
                                .uuid = fresh_file_name().substr(0, 16),
                                .commit_time = static_cast<uint64_t>(nanoseconds_now()),
                                .max_node_bytes = options_.max_node_bytes};
  const OcdbtDatabase database = encode_ocdbt(std::move(values), files, options);
  put_file("items/" + options.node_file, database.nodes);
  put_file(fmt::format("items/{}", kOcdbtManifest), database.manifest);
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
  for (const Array& array : arrays_) {
    const auto count = std::count_if(array.chunks.begin(), array.chunks.end(),
                                     [](const Chunk& chunk) { return chunk.state != State::kWhole; });
    if (count > 0) missing.push_back(fmt::format("{} ({} of {} chunks)", array.name, count, array.chunks.size()));
  }
  if (!missing.empty()) throw std::logic_error(fmt::format("not written: {}", fmt::join(missing, ", ")));
}

void OrbaxWriter::Attempt::finish() {
  require_disk();
  require_all();
  std::vector<std::pair<std::string, ChunkPlace>> places;
  for (const Array& array : arrays_) {
    const std::string key = fmt::format("{}/{}", array.name, zarr_description_name(array.layout.version));
    const std::string description = zarr_description(array.layout);
    places.emplace_back(key, chunks_->put(key, {}, [&](ByteSink& sink) { sink.append(description); }));
    if (!options_.ocdbt) continue;
    for (size_t n = 0; n < array.chunks.size(); ++n) {
      places.emplace_back(chunk_key(array, static_cast<int64_t>(n)), array.chunks[n].place);
    }
  }
  chunks_->close();
  if (options_.ocdbt) write_database(std::move(places));
  put_file("items/_METADATA", tree_metadata(specs_, options_));
  put_file("items/array_metadatas/process_0", array_metadatas(specs_));
  const std::string whole = "Checkpoint commit was successful to " + step_folder_;
  put_file("items/commit_success.txt", whole + "/items");
  put_file("_CHECKPOINT_METADATA", checkpoint_metadata(options_.scan_layers, begun_, nanoseconds_now()));
  put_file("commit_success.txt", whole);
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
