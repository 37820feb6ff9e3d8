// Inside the Arrow module only: the functions of the table, and how a Status or an exception becomes a line of text.
#pragma once

#include <arrow/filesystem/filesystem.h>
#include <arrow/result.h>
#include <arrow/status.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "storage/arrow_abi.h"

namespace fathom {

// What a Status says, in one line for the user of `uri`: what to do where that is known, and who was asked.
std::string explained(const std::string& uri, const arrow::Status& status);

// Runs `call`, which returns an arrow::Status; nothing is thrown past this border.
template <class Call>
int guarded(const std::string& uri, ArrowSink error, Call&& call) noexcept {
  try {
    arrow::Status status = call();
    if (status.ok()) return 0;
    std::string text = explained(uri, status);
    error.take(error.context, text.data(), static_cast<int64_t>(text.size()));
  } catch (const std::exception& e) {
    std::string_view text = e.what();
    error.take(error.context, text.data(), static_cast<int64_t>(text.size()));
  } catch (...) {
    std::string_view text = "an unknown exception in Arrow";
    error.take(error.context, text.data(), static_cast<int64_t>(text.size()));
  }
  return 1;
}

struct Location {
  std::shared_ptr<arrow::fs::FileSystem> store;
  std::string path;  // inside the store
  bool is_google = false;
};

// The file system of a URI or a local path, and the path in it. One file system a bucket serves the whole process.
arrow::Result<Location> locate(const std::string& uri);

// A file for reads at any place, with the limits of patience.h.
arrow::Result<std::shared_ptr<arrow::io::RandomAccessFile>> open_file(const std::string& uri);

int object_stat(const char* uri, int32_t* kind, int64_t* size, ArrowSink error);
int object_list(const char* uri, ArrowEntrySink entries, ArrowSink error);
int object_remove(const char* uri, ArrowSink error);

int object_open(const char* uri, void** handle, int64_t* size, ArrowSink error);
int object_read(void* handle, int64_t offset, int64_t size, char* out, ArrowSink error);
void object_close(void* handle);

int upload_begin(const char* uri, void** handle, ArrowSink error);
int upload_append(void* handle, const char* data, int64_t size, ArrowSink error);
int upload_finish(void* handle, ArrowSink error);
void upload_close(void* handle);

int parquet_open(const char* path, void** handle, ArrowEntrySink columns, ArrowSink error);
void parquet_close(void* handle);
int parquet_layout(void* handle, int32_t column, ArrowEntrySink groups, ArrowSink error);
int parquet_read(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error);
int parquet_read_json(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error);

}  // namespace fathom
