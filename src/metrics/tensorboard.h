// TensorBoard event files: TFRecords of Event protocol buffers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "metrics/step_log.h"

namespace fathom {

// A file events.out.tfevents.<seconds>.<host>.<process>.<n> in the folder. Records are held back until flush() or until
// 64 KiB have gathered. All functions throw RuntimeFault naming the file when it cannot be written. Not thread-safe.
class TensorBoardWriter {
 public:
  // Makes the folder if need be. Readers drop what earlier files of the folder say of `first_step` and later steps, so
  // a run that goes on from a checkpoint has one curve.
  TensorBoardWriter(const std::string& folder, int64_t first_step);
  // Writes what is held back; a fault here is logged.
  ~TensorBoardWriter();
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  TensorBoardWriter& operator=(const TensorBoardWriter&) = delete;

  void scalars(int64_t step, std::span<const Scalar> scalars);
  // A histogram of the numbers 0, 1, ..., of which number i came counts[i] times: each has a bar of its own.
  void counts(int64_t step, std::string_view tag, std::span<const int32_t> counts);
  // For the text tab; Markdown.
  void text(int64_t step, std::string_view tag, std::string_view text);
  void flush();

  const std::string& path() const { return path_; }

 private:
  void record(std::string_view event);

  std::string path_;
  int descriptor_ = -1;
  std::string held_;
};

}  // namespace fathom
