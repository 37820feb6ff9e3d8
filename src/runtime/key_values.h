// What the processes of one job tell each other, as plugins need it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace fathom {

// Keys and values that all processes of a job share. Thread-safe. All functions throw PjrtError: kDeadlineExceeded
// after a timeout, kUnavailable when a process of the job is lost.
class KeyValues {
 public:
  virtual ~KeyValues() = default;
  // A key is written once (kAlreadyExists); the same value again is no error.
  virtual void put(const std::string& key, const std::string& value) = 0;
  // Waits for the key to appear.
  virtual std::string get(const std::string& key, std::chrono::milliseconds timeout) = 0;
  virtual std::optional<std::string> try_get(const std::string& key) = 0;
};

}  // namespace fathom
