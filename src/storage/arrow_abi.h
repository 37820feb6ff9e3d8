// The C border between the program and the module libfathom_arrow.so, which is the only code that sees Arrow.
//
// Every function that can fail returns 0, or 1 after it gave one line of explanation to `error`. Strings pass through
// sinks, so that no memory changes hands. A path is a URI (gs://, s3://) or, for parquet, also a local path. A store
// that does not answer makes an error of any of them; requests that it turns down for now are made again before.
#pragma once

#include <cstdint>

namespace fathom {

inline constexpr int32_t kArrowAbiVersion = 4;

extern "C" {

// Takes `size` bytes that are valid during the call; `data` is null for a parquet value that is null.
struct ArrowSink {
  void* context;
  void (*take)(void* context, const char* data, int64_t size);
};

// Takes one entry of a folder or one part of a parquet layout: a name and two numbers whose meaning the caller states.
struct ArrowEntrySink {
  void* context;
  void (*take)(void* context, const char* name, int64_t a, int64_t b);
};

// kArrowNumbers: lists of whole numbers. kArrowRecords: lists of structs.
enum ArrowColumnKind : int32_t { kArrowOther = 0, kArrowText = 1, kArrowNumbers = 2, kArrowRecords = 3 };

enum ArrowPathKind : int32_t { kArrowAbsent = 0, kArrowFile = 1, kArrowFolder = 2 };

struct ArrowAbi {
  int32_t version;

  // Kind of a path, and bytes of a file (0 otherwise).
  int (*stat)(const char* uri, int32_t* kind, int64_t* size, ArrowSink error);
  // Each entry of a folder, not recursive: base name, bytes, when it was written (nanoseconds since 1970; 0 for a file
  // of unknown age, -1 for a folder).
  int (*list)(const char* uri, ArrowEntrySink entries, ArrowSink error);
  // Removes a file, or a folder and all it holds.
  int (*remove)(const char* uri, ArrowSink error);

  // Opens an object that must exist, and tells its bytes.
  int (*open)(const char* uri, void** handle, int64_t* size, ArrowSink error);
  // Exactly [offset, offset + size) into `out`. Several threads may read at a time.
  int (*read)(void* handle, int64_t offset, int64_t size, char* out, ArrowSink error);
  void (*close)(void* handle);

  // Begins an object that appears under its name when upload_finish returns, and not before.
  int (*upload_begin)(const char* uri, void** handle, ArrowSink error);
  // Adds bytes at its end. Parts go out as they fill, so that a few MB of an object are in memory.
  int (*upload_append)(void* handle, const char* data, int64_t size, ArrowSink error);
  int (*upload_finish)(void* handle, ArrowSink error);
  // Frees the handle; an object that is not finished is given up.
  void (*upload_close)(void* handle);

  // Opens a parquet file: `columns` takes the name of each top-level column, an ArrowColumnKind as `a`, 0 as `b`.
  int (*parquet_open)(const char* path, void** handle, ArrowEntrySink columns, ArrowSink error);
  void (*parquet_close)(void* handle);
  // Each row group: no name, rows as `a`, decoded bytes (as the file states them) as `b`.
  int (*parquet_layout)(void* handle, int32_t column, ArrowEntrySink groups, ArrowSink error);
  // Every value of a column of text, or of lists, in one row group, in order: a list of numbers as these, 8 bytes each;
  // a list of structs as JSON.
  int (*parquet_read)(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error);
  // The same of any column: each value as JSON.
  int (*parquet_read_json)(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error);
};

// The module's one exported function.
const ArrowAbi* fathom_arrow_abi();

}  // extern "C"

}  // namespace fathom
