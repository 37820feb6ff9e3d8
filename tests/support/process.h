// For tests: the program under test as a child process.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/temporary_folder.h"

namespace fathom {

using Words = std::vector<std::string>;

// The path that the environment's FATHOM_BINARY names.
std::string program_under_test();

// A child process of the program under test, its output in files.
class Process {
 public:
  // Starts `fathom args...` in the current folder; no file that it writes may grow beyond `file_bytes`. `input` stands
  // on stdin, where it is given.
  explicit Process(const Words& args, rlim_t file_bytes = RLIM_INFINITY, const std::optional<std::string>& input = {});
  // Kills it if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const;
  // The exit code; 1000 + the signal when one ended it.
  int wait();
  bool running();
  // Returns when that many lines are on stdout, or when the process has ended.
  void wait_for_lines(int64_t count);
  int64_t lines() const;  // on stdout so far
  std::string out() const;
  std::string err() const;

 private:
  void reap(int options);

  TemporaryFolder folder_;
  pid_t id_ = -1;
  int exit_code_ = -1;
};

// What a finished run gave.
struct Outcome {
  int exit_code = 0;
  std::string out, err;
  std::vector<std::string> lines() const;  // of stdout
};

// `fathom args...`, to its end.
Outcome run(const Words& args, const std::optional<std::string>& input = {});

}  // namespace fathom
