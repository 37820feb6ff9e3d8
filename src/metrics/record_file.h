// A file of metrics: one JSON object with an integer "step" a line, in the order of the steps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// Not thread-safe. All functions throw RuntimeFault naming the file when it cannot be written.
class RecordFile {
 public:
  // Opens the file for appending, made with its folder if need be. Records of `first_step` and later steps that an
  // earlier run left are dropped, and so is a line that was cut off in writing. Throws FormatError when records are to
  // be kept and the file holds something else.
  RecordFile(std::string path, int64_t first_step);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  // Adds a line, its line break included; it is in the file when the call returns.
  void append(std::string_view line);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace fathom
