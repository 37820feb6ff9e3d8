// Regular expressions as Python's `re` module reads them, with bounded work: users give them to MaxText, which is
// Python.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fathom {

// What is wrong with a pattern, in words that follow its name.
class PatternError : public Error {
 public:
  explicit PatternError(const std::string& message) : Error(message, kExitUserMistake) {}
};

// A compiled pattern. It runs on PCRE2, in whose syntax it is written anew: what the two spell alike and mean otherwise
// (\Z, \v, {,n}, [[], names) is translated, what Python does not have is refused. Texts are meant to be ASCII, as the
// paths of parameters are: \d, \w, \s and letters without case are those of ASCII.
class PythonRegex {
 public:
  // Throws PatternError where Python has an error, and for a pattern that is too long or nested too deep.
  explicit PythonRegex(std::string_view pattern);
  // Whether the pattern matches somewhere in the text (re.search). Throws PatternError when that takes too many steps.
  // Thread-safe.
  bool search(std::string_view text) const;

 private:
  std::shared_ptr<const void> code_;
};

// The pattern in PCRE2's syntax; throws PatternError.
std::string pcre_from_python(std::string_view pattern);

}  // namespace fathom
