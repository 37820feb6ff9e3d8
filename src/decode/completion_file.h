// The completions of many prompts: a JSON object a line, in the order of the prompts, so that a later run goes on where
// an earlier one ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result_file.h"
#include "decode/requests.h"

namespace fathom {

class CompletionFile {
 public:
  // `run`: what completions depend on beside their prompts, as a text to compare. Reads what is in the file, if it is
  // there: a last line that is cut short is dropped, completions of other prompts or of another run are written over
  // once there is one of this run (which is said). An empty path: there is no file. Throws FormatError that names the
  // line where it is no completion.
  CompletionFile(std::string path, const std::string& run, const std::vector<Request>& requests,
                 const std::vector<Prompt>& prompts);

  // So many first prompts have their completions in the file.
  int64_t done() const { return done_; }
  // The line of a prompt's completion; `text` is nothing where tokens alone are wanted.
  std::string line(size_t prompt, const std::vector<int32_t>& tokens, const std::optional<std::string>& text) const;
  // Puts the line of the next prompt into the file. Throws RuntimeFault.
  void add(const std::string& line);

 private:
  // Whether the line is the completion of this prompt by this run. Throws std::invalid_argument where it is none, or is
  // not as it was written.
  bool is_own(int64_t prompt, std::string_view line) const;

  std::string path_;
  ResultFile file_;
  const std::vector<Request>& requests_;
  const std::vector<Prompt>& prompts_;
  std::vector<std::string> marks_;  // of each prompt: itself, how many tokens it gets, and the run
  int64_t done_ = 0;
};

}  // namespace fathom
