// What all converters share: how many threads, what is said on the way and at the end, and room on the disk.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/stopwatch.h"

namespace fathom {

struct ConversionOptions {
  int threads = 0;       // 0: as many as there are cores
  bool compress = true;  // of what is written, where its format has it
};

// How far a conversion is. Bytes read and bytes written are added up.
struct ConversionState {
  int64_t done = 0;   // what was there already included
  int64_t total = 0;  // 0: not known
  double bytes_per_second = 0;
  double seconds_left = -1;  // negative: not known
};

// "1.20 of 4.80 GB, 0.60 GB/s, 0:00:06 left".
std::string conversion_text(const ConversionState& state);

// Says on stderr how far a conversion is, from a thread of its own: a bar where that is a terminal, else a line after a
// few seconds and then ever more seldom, at least two a minute.
class ConversionProgress {
 public:
  // `what` begins every line: the command. `total_bytes`: what will be read and written altogether.
  ConversionProgress(std::string what, int64_t total_bytes);
  // Wipes the bar.
  ~ConversionProgress();
  ConversionProgress(const ConversionProgress&) = delete;
  ConversionProgress& operator=(const ConversionProgress&) = delete;

  // So many bytes have been read or written. Thread-safe.
  void add(int64_t bytes) { moved_ += bytes; }
  // So many need not be: an attempt of before left them whole. They are no part of the rate. Thread-safe.
  void keep(int64_t bytes) { kept_ += bytes; }
  ConversionState state() const;
  // Ends the bar and prints the last line on stdout: bytes, seconds, rate, peak memory.
  void finish();

 private:
  void watch();
  void show(bool on_terminal) const;
  void end();

  const std::string what_;
  const int64_t total_;
  Stopwatch since_;
  std::atomic<int64_t> moved_ = 0, kept_ = 0;
  std::mutex mutex_;
  std::condition_variable ends_;
  bool ended_ = false;
  std::thread thread_;
};

// Bytes that are free on the file system of `folder`, which need not be there yet; the most there can be where nobody
// knows (object stores).
int64_t free_space(const std::string& folder);
// Throws ConfigError with both numbers unless the file system of `folder`, which need not be there yet, has room for
// `bytes` more. Object stores have room.
void require_free_space(const std::string& folder, int64_t bytes);

// The most memory that the process has held, less the pages of files that it maps now.
int64_t peak_memory_bytes();

}  // namespace fathom
