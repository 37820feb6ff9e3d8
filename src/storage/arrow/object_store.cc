// What is asked about objects. Each question runs within the limit of patience.h: answers gather in memory of its own,
// and go to the caller when it is there.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <set>
#include <vector>

#include "storage/arrow/calls.h"
#include "storage/arrow/patience.h"

namespace fathom {
namespace {

// Whether a path that is not there lies in a bucket that is not there either. What may not be asked is taken to be.
bool bucket_is_missing(const Location& at) {
  static std::mutex& mutex = *new std::mutex;
  static std::set<std::string>& there = *new std::set<std::string>;
  const size_t slash = at.path.find('/');
  if (slash == std::string::npos || at.store->type_name() == "mock") return false;
  const std::string name = at.path.substr(0, slash);
  {
    const std::lock_guard lock(mutex);
    if (there.contains(name)) return false;
  }
  arrow::Result<arrow::fs::FileInfo> bucket = at.store->GetFileInfo(name);
  if (bucket.ok() && bucket->type() == arrow::fs::FileType::NotFound) return true;
  const std::lock_guard lock(mutex);
  there.insert(name);
  return false;
}

arrow::Status no_such_bucket(const Location& at) {
  return arrow::Status::IOError("there is no bucket '", at.path.substr(0, at.path.find('/')), "'");
}

arrow::Result<arrow::fs::FileInfo> stat(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
  ARROW_ASSIGN_OR_RAISE(arrow::fs::FileInfo info, at.store->GetFileInfo(at.path));
  if (info.type() == arrow::fs::FileType::NotFound && bucket_is_missing(at)) return no_such_bucket(at);
  return info;
}

struct Entry {
  std::string name;
  int64_t size = 0;
  int64_t written = 0;  // as the border has it
};

int64_t time_of(const arrow::fs::FileInfo& info) {
  if (info.mtime() == arrow::fs::kNoTime) return 0;
  // A negative number is a folder's.
  return std::max<int64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(info.mtime().time_since_epoch()).count(), 0);
}

arrow::Result<std::vector<Entry>> list(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
  arrow::fs::FileSelector selector;
  selector.base_dir = at.path;
  // On gs:// Arrow lists a folder only if it has an object of its own, which most writers do not make: there the
  // folders are read off the names of all objects below.
  selector.recursive = at.is_google;
  ARROW_ASSIGN_OR_RAISE(std::vector<arrow::fs::FileInfo> infos, at.store->GetFileInfo(selector));
  std::vector<Entry> entries;
  std::set<std::string> folders;
  for (const arrow::fs::FileInfo& info : infos) {
    std::string name = info.path().substr(at.path.size() + 1);
    size_t slash = name.find('/');
    if (slash != std::string::npos || info.IsDirectory()) {
      folders.insert(name.substr(0, slash));
    } else {
      entries.push_back({std::move(name), info.size(), time_of(info)});
    }
  }
  for (const std::string& name : folders) entries.push_back({name, 0, -1});
  return entries;
}

arrow::Status remove(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
  ARROW_ASSIGN_OR_RAISE(arrow::fs::FileInfo info, at.store->GetFileInfo(at.path));
  if (!info.IsDirectory()) return at.store->DeleteFile(at.path);
  if (!at.is_google) return at.store->DeleteDir(at.path);
  // A folder without an object of its own is gone with its contents, and is then none that could be deleted.
  arrow::fs::FileSelector selector;
  selector.base_dir = at.path;
  selector.recursive = true;
  ARROW_ASSIGN_OR_RAISE(std::vector<arrow::fs::FileInfo> infos, at.store->GetFileInfo(selector));
  std::vector<std::string> files;
  for (const arrow::fs::FileInfo& entry : infos) {
    if (entry.IsFile()) files.push_back(entry.path());
  }
  ARROW_RETURN_NOT_OK(at.store->DeleteFiles(files));
  ARROW_ASSIGN_OR_RAISE(info, at.store->GetFileInfo(at.path));
  return info.IsDirectory() ? at.store->DeleteDir(at.path) : arrow::Status::OK();
}

// Runs `ask` within the limit and gives its answer.
template <class Answer>
arrow::Result<Answer> answer(std::function<arrow::Result<Answer>()> ask) {
  auto said = std::make_shared<Answer>();
  ARROW_RETURN_NOT_OK(within_limit([said, ask = std::move(ask)]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(*said, ask());
    return arrow::Status::OK();
  }));
  return std::move(*said);
}

// An object that is being read.
struct Object {
  std::string uri;
  std::shared_ptr<arrow::io::RandomAccessFile> file;
};

// An object that is being written.
struct Upload {
  std::string uri;
  Location at;
  std::shared_ptr<arrow::io::OutputStream> file;
};

// A call of the stream: Google's within the limit.
arrow::Status of_stream(const Upload& upload, std::function<arrow::Status()> call) {
  return upload.at.is_google ? within_limit(std::move(call)) : call();
}

}  // namespace

int object_stat(const char* uri, int32_t* kind, int64_t* size, ArrowSink error) {
  return guarded(uri, error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(arrow::fs::FileInfo info,
                          answer<arrow::fs::FileInfo>([uri = std::string(uri)] { return stat(uri); }));
    *kind = info.IsFile() ? kArrowFile : info.IsDirectory() ? kArrowFolder : kArrowAbsent;
    *size = info.IsFile() ? info.size() : 0;
    return arrow::Status::OK();
  });
}

int object_list(const char* uri, ArrowEntrySink entries, ArrowSink error) {
  return guarded(uri, error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(std::vector<Entry> found,
                          answer<std::vector<Entry>>([uri = std::string(uri)] { return list(uri); }));
    for (const Entry& entry : found) {
      entries.take(entries.context, entry.name.c_str(), entry.size, entry.written);
    }
    return arrow::Status::OK();
  });
}

// Not within the limit: a folder may hold many objects, each of which takes its time.
int object_remove(const char* uri, ArrowSink error) {
  return guarded(uri, error, [&] { return remove(uri); });
}

arrow::Result<std::shared_ptr<arrow::io::RandomAccessFile>> open_file(const std::string& uri) {
  using File = std::shared_ptr<arrow::io::RandomAccessFile>;
  return answer<File>([uri]() -> arrow::Result<File> {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    ARROW_ASSIGN_OR_RAISE(File file, at.store->OpenInputFile(at.path));
    return at.is_google ? limited(std::move(file)) : file;
  });
}

int object_open(const char* uri, void** handle, int64_t* size, ArrowSink error) {
  return guarded(uri, error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::io::RandomAccessFile> file, open_file(uri));
    ARROW_ASSIGN_OR_RAISE(*size, file->GetSize());  // no request: it came with the opening
    *handle = new Object{uri, std::move(file)};
    return arrow::Status::OK();
  });
}

int object_read(void* handle, int64_t offset, int64_t size, char* out, ArrowSink error) {
  Object& object = *static_cast<Object*>(handle);
  return guarded(object.uri, error, [&]() -> arrow::Status {
    // A single request of an object store may give less than it was asked for.
    int64_t done = 0;
    while (done < size) {
      const int64_t most = std::min(size - done, kPieceBytes);
      ARROW_ASSIGN_OR_RAISE(int64_t n, object.file->ReadAt(offset + done, most, out + done));
      if (n <= 0) return arrow::Status::IOError("the file ends after ", offset + done, " bytes");
      done += n;
    }
    return arrow::Status::OK();
  });
}

void object_close(void* handle) { delete static_cast<Object*>(handle); }

int upload_begin(const char* uri, void** handle, ArrowSink error) {
  return guarded(uri, error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Upload upload, answer<Upload>([uri = std::string(uri)]() -> arrow::Result<Upload> {
                            Upload out{.uri = uri, .at = {}, .file = nullptr};
                            ARROW_ASSIGN_OR_RAISE(out.at, locate(uri));
                            ARROW_ASSIGN_OR_RAISE(out.file, out.at.store->OpenOutputStream(out.at.path));
                            return out;
                          }));
    *handle = new Upload(std::move(upload));
    return arrow::Status::OK();
  });
}

int upload_append(void* handle, const char* data, int64_t size, ArrowSink error) {
  Upload& upload = *static_cast<Upload*>(handle);
  return guarded(upload.uri, error, [&]() -> arrow::Status {
    for (int64_t done = 0; done < size;) {
      const int64_t n = std::min(size - done, kPieceBytes);
      if (upload.at.is_google) {
        auto piece = std::make_shared<std::string>(data + done, static_cast<size_t>(n));
        ARROW_RETURN_NOT_OK(of_stream(upload, [file = upload.file, piece] {
          return file->Write(piece->data(), static_cast<int64_t>(piece->size()));
        }));
      } else {
        ARROW_RETURN_NOT_OK(of_stream(upload, [&] { return upload.file->Write(data + done, n); }));
      }
      done += n;
    }
    return arrow::Status::OK();
  });
}

int upload_finish(void* handle, ArrowSink error) {
  Upload& upload = *static_cast<Upload*>(handle);
  return guarded(upload.uri, error, [&] { return of_stream(upload, [file = upload.file] { return file->Close(); }); });
}

void upload_close(void* handle) {
  std::unique_ptr<Upload> upload(static_cast<Upload*>(handle));
  if (upload->file->closed()) return;
  if (upload->at.is_google) {
    // The end of the stream would be the end of the object: it stays to the end of the process, and the store forgets
    // the upload after a week.
    static auto& given_up = *new std::vector<std::shared_ptr<arrow::io::OutputStream>>;
    static auto& mutex = *new std::mutex;
    const std::lock_guard lock(mutex);
    given_up.push_back(std::move(upload->file));
    return;
  }
  try {
    (void)upload->file->Abort();
  } catch (...) {
    // What is left of it costs the bucket's owner space, and nothing else.
  }
}

}  // namespace fathom
