// Scores of multiple-choice questions: prompts, log-probabilities of the letters, accuracy.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/multiple_choice.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// What stands in front of a subject's questions.
std::string choice_header(const std::string& subject);
// The solved questions in front of question `asked` of the test, `shots` of its subject or as many as there are: the
// first ones of `dev` where there are any, else the first other ones of the test. Throws ConfigError where `dev` has
// none of the subject.
std::vector<const ChoiceQuestion*> choice_examples(const ChoiceQuestions& questions, size_t asked, int64_t shots);
// The text whose next token is the answer to it: header, these solved questions, the question.
std::string choice_prompt(const ChoiceQuestions& questions, size_t asked, int64_t shots);

// The tokens of " A" to " D" behind a prompt. A letter of several tokens has the sum of their log-probabilities, each
// behind the ones before: for that the model sees the prompt as often as there are different beginnings of letters.
class LetterTokens {
 public:
  explicit LetterTokens(const Tokenizer& tokenizer);

  // What the model is to see behind a prompt, one row each: nothing, first, and beginnings of letters.
  const std::vector<std::vector<int32_t>>& beginnings() const { return beginnings_; }
  // Adds to each letter's sum what the logits [v] behind a beginning say of it.
  void add(size_t beginning, std::span<const float> logits, std::array<double, kChoices>& sums) const;

 private:
  struct Term {
    size_t beginning = 0, letter = 0;
    int32_t token = 0;
  };
  std::vector<std::vector<int32_t>> beginnings_ = {{}};
  std::vector<Term> terms_;
};

struct ChoiceScore {
  int64_t index = 0;  // of the question, from 0
  std::string subject;
  int64_t shots = 0;     // num_shots
  int64_t examples = 0;  // solved questions that stood in front: fewer where the subject has no more
  std::array<float, kChoices> logprobs = {};
  int64_t choice = 0;  // the first of the largest
  int64_t answer = 0;
};
int64_t best_choice(std::span<const float> logprobs);

// A line a subject and one a category (STEM, humanities, social sciences, other), then the accuracy of all: each with
// half the width of Wilson's 95 % interval and the number of questions.
std::string accuracy_report(std::span<const ChoiceScore> scores);
// Half the width of the interval that holds the probability of which `right` of `count` draws came, 95 times of 100
// (Wilson 1927).
double wilson_half_width(int64_t right, int64_t count);
// "STEM" of "abstract_algebra"; "other" where the name is none of MMLU's.
std::string category_of(const std::string& subject);

}  // namespace fathom
