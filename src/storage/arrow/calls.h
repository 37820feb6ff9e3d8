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

// Runs `call`, which returns an arrow::Status; nothing is thrown past this border.
template <class Call>
int guarded(ArrowSink error, Call&& call) noexcept {
  try {
    arrow::Status status = call();
    if (status.ok()) return 0;
    std::string text = status.message();
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
};

// The file system of a URI or a local path, and the path in it. One file system a bucket serves the whole process.
arrow::Result<Location> locate(const std::string& uri);

int object_stat(const char* uri, int32_t* kind, int64_t* size, ArrowSink error);
int object_read(const char* uri, int64_t offset, int64_t size, char* out, ArrowSink error);
int object_list(const char* uri, ArrowEntrySink entries, ArrowSink error);
int object_write(const char* uri, const char* data, int64_t size, ArrowSink error);
int object_remove(const char* uri, ArrowSink error);

int parquet_open(const char* path, void** handle, ArrowEntrySink columns, ArrowSink error);
void parquet_close(void* handle);
int parquet_layout(void* handle, int32_t column, ArrowEntrySink groups, ArrowSink error);
int parquet_read(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error);

}  // namespace fathom
