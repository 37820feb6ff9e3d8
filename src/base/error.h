// The errors of fathom: one exception type per domain, each naming the thing at fault and what to do about it.
#pragma once

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fathom {

// Exit codes of the program: 0 done, 1 a fault, 2 a user's mistake, 128 + signal after a clean stop.
inline constexpr int kExitFault = 1;
inline constexpr int kExitUserMistake = 2;

// Base of all errors that fathom throws on purpose.
class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code) : std::runtime_error(message), exit_code_(exit_code) {}
  // What the process returns when this error ends it.
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// A mistake in what the user gave: a key, a flag, a path, a missing tokenizer. Ends the program with 2.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& message) : Error(message, kExitUserMistake) {}
};

// A file whose bytes are not what they should be. Names the path and, where known, the byte offset or line.
class FormatError : public Error {
 public:
  FormatError(std::string path, std::string_view message)
      : Error(path + ": " + std::string(message), kExitUserMistake), path_(std::move(path)) {}
  FormatError(std::string path, int64_t offset, std::string_view message)
      : Error(path + ": at byte " + std::to_string(offset) + ": " + std::string(message), kExitUserMistake),
        path_(std::move(path)),
        offset_(offset) {}
  const std::string& path() const { return path_; }
  // Byte offset of the fault, or -1 when it has no single place.
  int64_t offset() const { return offset_; }

 private:
  std::string path_;
  int64_t offset_ = -1;
};

// A fault while the program runs that is nobody's bad input: a full disk, a loss that is not finite.
class RuntimeFault : public Error {
 public:
  explicit RuntimeFault(const std::string& message) : Error(message, kExitFault) {}
};

// What a program says last of what ends it.
inline std::string ending_text(const std::exception& error) {
  const bool on_purpose = dynamic_cast<const Error*>(&error) != nullptr;
  return on_purpose ? error.what() : std::string("internal fault: ") + error.what();
}

}  // namespace fathom
