#include "checkpoint/chunk_store.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <random>

#include "base/hash.h"
#include "base/remote_path.h"
#include "checkpoint/local_file.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

// Small pieces are brought together before they are written.
class BufferedSink : public ByteSink {
 public:
  void append(std::string_view bytes) final {
    constexpr size_t kMost = size_t{256} << 10;
    if (pending_.size() + bytes.size() <= kMost) {
      pending_ += bytes;
      return;
    }
    flush();
    if (bytes.size() <= kMost) {
      pending_ = bytes;
    } else {
      hand_on(bytes);
    }
  }

 protected:
  virtual void write(std::string_view bytes, int64_t place) = 0;
  void flush() {
    if (!pending_.empty()) hand_on(pending_);
    pending_.clear();
  }
  // So far.
  int64_t length() const { return written_ + static_cast<int64_t>(pending_.size()); }
  std::string& pending() { return pending_; }

 private:
  void hand_on(std::string_view bytes) {
    write(bytes, written_);
    written_ += static_cast<int64_t>(bytes.size());
  }
  std::string pending_;
  int64_t written_ = 0;
};

// Objects that are lent to one thread at a time. A new one is made when all are lent.
template <class T>
class Lent {
 public:
  std::unique_ptr<T> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<T>();
    std::unique_ptr<T> one = std::move(free_.back());
    free_.pop_back();
    return one;
  }
  void give_back(std::unique_ptr<T> one) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(one));
  }
  std::vector<std::unique_ptr<T>> take_all() {
    std::lock_guard lock(mutex_);
    return std::move(free_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

class DataFileStore final : public ChunkStore {
 public:
  explicit DataFileStore(DataFileOptions options) : options_(std::move(options)) {}

  ChunkPlace put(const std::string&, std::optional<ChunkId>, const std::function<void(ByteSink&)>& encode) override {
    std::unique_ptr<DataFile> file = free_.take();
    try {
      Sink sink(*this, *file);
      encode(sink);
      ChunkPlace place = sink.finish();
      if (file->size >= options_.file_bytes) {
        file->file->sync();
        forget(*std::exchange(file, std::make_unique<DataFile>()));
      }
      free_.give_back(std::move(file));
      return place;
    } catch (...) {
      free_.give_back(std::move(file));  // what it left behind the last whole chunk is written over by the next
      throw;
    }
  }

  void sync() override {
    std::vector<std::shared_ptr<const LocalFile>> files;
    {
      std::lock_guard lock(mutex_);
      files = open_;
    }
    for (const auto& file : files) file->sync();
    if (made_.exchange(false)) sync_folder(folder());
  }

  void close() override {
    free_.take_all();
    std::lock_guard lock(mutex_);
    open_.clear();
  }

 private:
  // One that chunks are appended to.
  struct DataFile {
    std::string name = {};
    std::shared_ptr<const LocalFile> file = nullptr;  // made by the first chunk that needs it
    int64_t size = 0;                                 // of the whole chunks in it
  };

  class Sink final : public BufferedSink {
   public:
    Sink(DataFileStore& store, DataFile& file) : store_(store), file_(file) {}

    ChunkPlace finish() {
      if (length() <= store_.options_.inline_bytes) return {.length = length(), .bytes = pending()};
      flush();
      ChunkPlace place = {.file = file_.name, .offset = file_.size, .length = length()};
      file_.size += length();
      return place;
    }

   private:
    void write(std::string_view bytes, int64_t place) override {
      if (file_.file == nullptr) store_.make(file_);
      file_.file->write(bytes, file_.size + place);
    }

    DataFileStore& store_;
    DataFile& file_;
  };

  std::string folder() const { return join_path(options_.folder, options_.subfolder + "d"); }

  void make(DataFile& file) {
    const std::string name = fresh_file_name();
    file.file = std::make_shared<const LocalFile>(join_path(folder(), name));
    file.name = options_.subfolder + "d/" + name;
    std::lock_guard lock(mutex_);
    open_.push_back(file.file);
    made_ = true;
  }

  void forget(const DataFile& file) {
    std::lock_guard lock(mutex_);
    std::erase(open_, file.file);
  }

  const DataFileOptions options_;
  Lent<DataFile> free_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<const LocalFile>> open_;  // those that may hold what is not on the disk yet
  std::atomic<bool> made_ = false;                      // a file since the last sync()
};

class DataObjectStore final : public ChunkStore {
 public:
  explicit DataObjectStore(DataFileOptions options) : options_(std::move(options)) {}

  ChunkPlace put(const std::string&, std::optional<ChunkId> id, const std::function<void(ByteSink&)>& encode) override {
    std::unique_ptr<DataObject> object = free_.take();
    const size_t before = object->bytes.size();
    try {
      Sink sink(object->bytes);
      encode(sink);
    } catch (...) {
      object->bytes.resize(before);
      free_.give_back(std::move(object));
      throw;
    }
    ChunkPlace place = settle(object, before);
    if (id) object->chunks.emplace_back(*id, place);
    if (static_cast<int64_t>(object->bytes.size()) >= options_.file_bytes) {
      write(*object);
      object = std::make_unique<DataObject>();
    }
    free_.give_back(std::move(object));
    return place;
  }

  void sync() override {}
  void close() override {
    for (const auto& object : free_.take_all()) write(*object);
  }

 private:
  struct DataObject {
    std::string name = "d/" + fresh_file_name();
    std::string bytes = {};
    std::vector<std::pair<ChunkId, ChunkPlace>> chunks = {};  // in it, and since it began those without a file
  };

  // Where the bytes from `before` on lie in the end: nowhere when they are few, in the next object when this one would
  // grow too large with them.
  ChunkPlace settle(std::unique_ptr<DataObject>& object, size_t before) const {
    const auto length = static_cast<int64_t>(object->bytes.size() - before);
    if (length <= options_.inline_bytes) {
      std::string bytes = object->bytes.substr(before);
      object->bytes.resize(before);
      return {.length = length, .bytes = std::move(bytes)};
    }
    if (before > 0 && static_cast<int64_t>(object->bytes.size()) > options_.file_bytes) {
      auto next = std::make_unique<DataObject>();
      next->bytes = object->bytes.substr(before);
      object->bytes.resize(before);
      write(*object);
      object = std::move(next);
    }
    const auto offset = static_cast<int64_t>(object->bytes.size()) - length;
    return {.file = options_.subfolder + object->name, .offset = offset, .length = length};
  }

  class Sink final : public ByteSink {
   public:
    explicit Sink(std::string& to) : to_(to) {}
    void append(std::string_view bytes) override { to_ += bytes; }

   private:
    std::string& to_;
  };

  void write(const DataObject& object) const {
    if (object.bytes.empty()) return;
    const std::string path = join_path(options_.folder, options_.subfolder + object.name);
    file_store(path).write_atomically(path, object.bytes);
    if (options_.written) options_.written(object.chunks);
  }

  const DataFileOptions options_;
  Lent<DataObject> free_;
};

class PlainFileStore final : public ChunkStore {
 public:
  explicit PlainFileStore(std::string folder) : folder_(std::move(folder)) {}

  ChunkPlace put(const std::string& name, std::optional<ChunkId>,
                 const std::function<void(ByteSink&)>& encode) override {
    Sink sink(join_path(folder_, name));
    encode(sink);
    return {.file = name, .length = sink.finish()};
  }

  void sync() override { sync_file_system(folder_); }
  void close() override {}

 private:
  class Sink final : public BufferedSink {
   public:
    explicit Sink(const std::string& path) : file_(path) {}
    int64_t finish() {
      flush();
      return length();
    }

   private:
    void write(std::string_view bytes, int64_t place) override { file_.write(bytes, place); }
    LocalFile file_;
  };

  std::string folder_;
};

class PlainObjectStore final : public ChunkStore {
 public:
  explicit PlainObjectStore(std::string folder) : folder_(std::move(folder)) {}
  ChunkPlace put(const std::string& name, std::optional<ChunkId>,
                 const std::function<void(ByteSink&)>& encode) override {
    const std::string path = join_path(folder_, name);
    Sink sink(file_store(path).upload(path));
    encode(sink);
    return {.file = name, .length = sink.finish()};
  }
  void sync() override {}
  void close() override {}

 private:
  class Sink final : public BufferedSink {
   public:
    explicit Sink(std::unique_ptr<FileUpload> file) : file_(std::move(file)) {}
    int64_t finish() {
      flush();
      file_->finish();
      return length();
    }

   private:
    void write(std::string_view bytes, int64_t) override { file_->append(bytes); }
    std::unique_ptr<FileUpload> file_;
  };
  std::string folder_;
};

}  // namespace

std::unique_ptr<ChunkStore> data_file_store(DataFileOptions options) {
  if (is_remote(options.folder)) return std::make_unique<DataObjectStore>(std::move(options));
  return std::make_unique<DataFileStore>(std::move(options));
}

std::unique_ptr<ChunkStore> plain_file_store(std::string folder) {
  if (is_remote(folder)) return std::make_unique<PlainObjectStore>(std::move(folder));
  return std::make_unique<PlainFileStore>(std::move(folder));
}

std::string fresh_file_name() {
  static std::atomic<uint64_t> count = 0;
  std::random_device random;
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return hash_of(fmt::format("{} {} {} {} {}", random(), random(), now, ::getpid(), count++));
}

}  // namespace fathom
