// The scores of a run of `mmlu`: a JSON object a line, so that a later run goes on where an earlier one ended.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result_file.h"
#include "eval/choice_scores.h"

namespace fathom {

class ScoreFile {
 public:
  // What all lines of the file must agree in.
  struct Run {
    std::string model;         // the folder of the weights
    std::string weights = {};  // what lies in it, as a text to compare
    int64_t shots = 0;
    // Of each question what else its score depends on, as a text to compare: the prompt, the keys of the model. Empty:
    // that is not looked at.
    std::vector<std::string> asked = {};
  };

  // Reads what is in the file, if it is there: a last line that is cut short is dropped. An empty path keeps the scores
  // in memory alone. Throws FormatError that names the line where it is no score, or one of another run or data set.
  ScoreFile(std::string path, Run run, const std::vector<ChoiceQuestion>& questions);

  bool has(int64_t index) const { return scores_.contains(index); }
  int64_t size() const { return std::ssize(scores_); }
  // `writes`: whether this process writes the file. All of the scores are in it when the call returns. Throws
  // RuntimeFault when it cannot be written.
  void add(std::span<const ChoiceScore> scores, bool writes);
  // All scores in the order of the questions; they stand in the file so from now on.
  std::vector<ChoiceScore> finish(bool writes);

 private:
  void take(int64_t number, std::string_view line, const std::vector<ChoiceQuestion>& questions);
  std::string line(const ChoiceScore& score) const;

  std::string path_;
  ResultFile file_;
  Run run_;
  std::map<int64_t, ChoiceScore> scores_;  // by index
};

}  // namespace fathom
