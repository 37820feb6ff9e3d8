// A file that carries another name until all of it is there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/stop_signals.h"

namespace fathom {

class PartialFile {
 public:
  // Makes the empty file "<path>.partial"; one that was left by a process that was killed is begun anew. Throws
  // RuntimeFault naming `path` when it cannot be written or another process is writing it.
  explicit PartialFile(std::string path);
  // Removes it unless finish() was called; so does a signal that ends the process.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  // Thread-safe. Throws RuntimeFault when the disk is full.
  void write(int64_t offset, std::string_view bytes) const;
  // What is not written reads as zeros.
  void resize(int64_t bytes) const;
  // The bytes reach the disk before the name does, so a crash cannot leave the name on a hollow file.
  void finish();

 private:
  [[noreturn]] void fail(int error) const;
  void open();

  std::string path_, partial_;
  RemovedOnStop on_stop_;
  int descriptor_ = -1;
};

}  // namespace fathom
