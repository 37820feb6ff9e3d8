// A file of metrics: one JSON object with an integer "step" a line, in the order of the steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/stop_signals.h"

namespace fathom {

// Not thread-safe.
class RecordFile {
 public:
  struct Options {
    std::string key;         // of the configuration, for errors
    std::string path;        // a file, made with its folder if need be, or a device
    int64_t first_step = 0;  // records of this and later steps that an earlier run left are dropped
    bool overwrite = false;  // all of them may be dropped
    bool own = false;        // what is there is this run's own: go_on() says what of it stays
    bool every_step = true;  // whether steps without a record are worth a warning
    std::string shown = {};  // what errors call the file, where that is not its path
  };

  // Opens the file and locks it against other processes. What is in it stays until the first line is appended; a file
  // that gets none and was not there before is removed again. Throws ConfigError when another process writes the file
  // or when all of its records would be dropped, FormatError when records are to be kept and it holds something else,
  // RuntimeFault when it cannot be opened. Of a file of this run's own the last record alone is looked at.
  explicit RecordFile(Options options);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  // Before the first line: records of this and later steps are dropped, those before stay. Throws FormatError when the
  // file holds something else.
  void go_on(int64_t first_step);

  // Adds a line, its line break included; it is in the file when the call returns. Throws RuntimeFault when it cannot
  // be written, or when the file has been removed.
  void append(std::string_view line);

 private:
  void lock();
  void begin();

  Options options_;
  int descriptor_ = -1;
  bool regular_ = true;  // not a device or a pipe
  bool made_ = false;
  bool begun_ = false;
  int64_t keep_ = 0;  // bytes
  std::optional<RemovedOnStop> on_stop_;
};

}  // namespace fathom
