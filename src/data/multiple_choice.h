// Data sets of multiple-choice questions: MMLU in the forms in which it is handed on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

inline constexpr int64_t kChoices = 4;  // lettered A to D

struct ChoiceQuestion {
  std::string subject;  // "high_school_biology"
  std::string question;
  std::array<std::string, kChoices> choices;
  int64_t answer = 0;  // index of the right choice
};

struct ChoiceQuestions {
  std::vector<ChoiceQuestion> test;  // what is asked, in the order of the files
  std::vector<ChoiceQuestion> dev;   // examples, where there is a split of that name
};

// Reads `path`, local, gs:// or s3://:
//   - a parquet or JSONL file, or a folder of them, with the columns question, subject, choices (a list of four) and
//     answer (0 to 3, or a letter); the splits `test` and `dev` where the folder has them, in it, in its folder `data`
//     or, as on the Hub, in `all` or in a folder a subject; else a file named mmlu, else all files;
//   - the tree of CSV files of the authors: test/SUBJECT_test.csv and dev/SUBJECT_dev.csv, in it or in its folder
//     `data`; the fields are the question, four choices and the letter.
// Throws ConfigError naming `key` where there is nothing of the kind, FormatError that names file and row (of parquet
// from 0) or line of a question that is not whole.
ChoiceQuestions read_choice_questions(const std::string& path, std::string_view key);

}  // namespace fathom
