#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "storage/arrow/calls.h"

namespace fathom {

namespace {

// The S3 client is a library of its own beside libarrow, registered when it is loaded.
arrow::Status load_s3() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&arrow::fs::LoadFileSystemFactories), &info) == 0) {
    return arrow::Status::IOError("cannot tell where libarrow lies");
  }
  std::filesystem::path arrow_library = info.dli_fname;
  std::string name = "libarrow_s3" + arrow_library.filename().string().substr(std::string("libarrow").size());
  return arrow::fs::LoadFileSystemFactories((arrow_library.parent_path() / name).c_str());
}

}  // namespace

arrow::Result<Location> locate(const std::string& uri) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<arrow::fs::FileSystem>> stores;
  std::lock_guard lock(mutex);
  size_t scheme = uri.find("://");
  if (scheme == std::string::npos) {
    Location local;
    std::string absolute = std::filesystem::absolute(uri).string();
    ARROW_ASSIGN_OR_RAISE(local.store, arrow::fs::FileSystemFromUriOrPath(absolute, &local.path));
    return local;
  }
  if (uri.starts_with("s3://")) {
    static const arrow::Status s3 = load_s3();
    ARROW_RETURN_NOT_OK(s3);
  }
  // A key may hold any character, so only scheme and bucket are read as a URI; "bucket/key" is the path in the store.
  // Credentials and end points come from the environment, as for the vendors' own tools.
  size_t slash = uri.find('/', scheme + 3);
  std::string root = uri.substr(0, slash);
  std::string key = slash == std::string::npos ? "" : uri.substr(slash + 1);
  while (!key.empty() && key.back() == '/') key.pop_back();
  std::shared_ptr<arrow::fs::FileSystem>& store = stores[root];
  if (store == nullptr) {
    // Arrow asks a Google store again for fifteen minutes where it is not told otherwise.
    const std::string options = uri.starts_with("gs://") ? "?retry_limit_seconds=20" : "";
    arrow::Result<std::shared_ptr<arrow::fs::FileSystem>> made = arrow::fs::FileSystemFromUri(root + options);
    // The S3 client must be shut down before its statics are destroyed, that is, by what is registered after their
    // making.
    [[maybe_unused]] static const int registered = std::atexit([] { arrow::fs::EnsureFinalized(); });
    ARROW_ASSIGN_OR_RAISE(store, std::move(made));
  }
  std::string bucket = root.substr(scheme + 3);
  bucket = bucket.substr(bucket.find('@') + 1);  // gs://anonymous@bucket; npos + 1 is 0
  return Location{store, key.empty() ? bucket : bucket + "/" + key};
}

int object_stat(const char* uri, int32_t* kind, int64_t* size, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    ARROW_ASSIGN_OR_RAISE(arrow::fs::FileInfo info, at.store->GetFileInfo(at.path));
    *kind = info.IsFile() ? kArrowFile : info.IsDirectory() ? kArrowFolder : kArrowAbsent;
    *size = info.IsFile() ? info.size() : 0;
    return arrow::Status::OK();
  });
}

int object_read(const char* uri, int64_t offset, int64_t size, char* out, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::io::RandomAccessFile> file, at.store->OpenInputFile(at.path));
    // A single request of an object store may give less than it was asked for.
    int64_t done = 0;
    while (done < size) {
      ARROW_ASSIGN_OR_RAISE(int64_t n, file->ReadAt(offset + done, size - done, out + done));
      if (n <= 0) return arrow::Status::IOError("the file ends after ", offset + done, " bytes");
      done += n;
    }
    return file->Close();
  });
}

int object_list(const char* uri, ArrowEntrySink entries, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    arrow::fs::FileSelector selector;
    selector.base_dir = at.path;
    // On gs:// Arrow lists a folder only if it has an object of its own, which most writers do not make: there the
    // folders are read off the names of all objects below.
    selector.recursive = at.store->type_name() == "gcs";
    ARROW_ASSIGN_OR_RAISE(std::vector<arrow::fs::FileInfo> infos, at.store->GetFileInfo(selector));
    std::set<std::string> folders;
    for (const arrow::fs::FileInfo& info : infos) {
      std::string name = info.path().substr(at.path.size() + 1);
      size_t slash = name.find('/');
      if (slash != std::string::npos || info.IsDirectory()) {
        folders.insert(name.substr(0, slash));
      } else {
        entries.take(entries.context, name.c_str(), info.size(), 0);
      }
    }
    for (const std::string& name : folders) entries.take(entries.context, name.c_str(), 0, 1);
    return arrow::Status::OK();
  });
}

int object_write(const char* uri, const char* data, int64_t size, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::io::OutputStream> file, at.store->OpenOutputStream(at.path));
    arrow::Status written = file->Write(data, size);
    if (!written.ok()) {
      (void)file->Abort();
      return written;
    }
    return file->Close();
  });
}

int object_remove(const char* uri, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(uri));
    ARROW_ASSIGN_OR_RAISE(arrow::fs::FileInfo info, at.store->GetFileInfo(at.path));
    if (!info.IsDirectory()) return at.store->DeleteFile(at.path);
    // A folder without an object of its own is gone with its contents.
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
  });
}

}  // namespace fathom
