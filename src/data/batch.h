// What a training step eats, and the streams that give it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/batch_fields.h"
#include "base/host_array.h"

namespace fathom {

// Int32 arrays [rows, length]. Segmentation is 0 for padding and 1, 2, ... for the documents of a row.
struct Batch : BatchFields<HostArray> {
  int64_t rows = 0;
  int64_t length = 0;

  // Arrays of the given sizes, not initialised.
  static Batch allocate(int64_t rows, int64_t length);
  // Rows of padding alone: what a process gives whose data has ended before that of the others.
  static Batch padding(int64_t rows, int64_t length);
  // Number of places with a loss.
  int64_t weights() const;
};

// Where a stream stands: which document comes next. Saved beside a checkpoint, so that a resumed run sees the same
// batches.
struct DataState {
  int64_t epoch = 0;
  int64_t position = 0;   // documents of this process used in the epoch
  int64_t batches = 0;    // given since the start of the run
  int64_t documents = 0;  // in the whole data set; 0 in a state that no stream has made
  int process_count = 1;

  // One line of JSON, and back; parse throws FormatError naming `path`.
  std::string to_json() const;
  static DataState parse(std::string_view json, const std::string& path);
  friend bool operator==(const DataState&, const DataState&) = default;
};

// Batches in order. Not for several threads at once.
class BatchStream {
 public:
  virtual ~BatchStream() = default;
  // The next batch; nothing when the data has ended (and then always nothing). Throws what is wrong with the data.
  virtual std::optional<Batch> next() = 0;
  // Where the stream stands after the last batch it gave.
  virtual DataState state() const = 0;
  // Goes on from a saved state; DataState{} starts again. From a state of another data set or another number of
  // processes it goes on as near to that place as it can, with a warning.
  virtual void restore(const DataState& state) = 0;
  // One line for the user when next() has given nothing: what ended and which key makes it longer.
  virtual std::string end_message() const = 0;
};

}  // namespace fathom
