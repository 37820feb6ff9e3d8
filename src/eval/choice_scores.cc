#include "eval/choice_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/counted.h"
#include "base/error.h"

namespace fathom {
namespace {

constexpr std::string_view kLetters = "ABCD";

std::string spaced(std::string subject) {
  std::ranges::replace(subject, '_', ' ');
  return subject;
}

std::string question_text(const ChoiceQuestion& q) {
  std::string out = q.question;
  for (size_t i = 0; i < q.choices.size(); ++i) out += fmt::format("\n{}. {}", kLetters[i], q.choices[i]);
  return out + "\nAnswer:";
}

// The first `count` questions of the subject, leaving out the one at `without`.
std::vector<const ChoiceQuestion*> first_of(const std::vector<ChoiceQuestion>& questions, const std::string& subject,
                                            int64_t count, const ChoiceQuestion* without) {
  std::vector<const ChoiceQuestion*> out;
  for (const ChoiceQuestion& q : questions) {
    if (std::ssize(out) == count) break;
    if (q.subject == subject && &q != without) out.push_back(&q);
  }
  return out;
}

double log_sum_exp(std::span<const float> logits) {
  const double top = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
  return top + std::log(sum);
}

// The subjects of each category as the authors have them (categories.py of hendrycks/test), and the names of their
// groups of subjects, which smaller sets use.
struct Category {
  std::string_view name;
  std::string_view subjects;  // with a space before and behind each
};
constexpr Category kCategories[] = {
    {"STEM",
     " abstract_algebra astronomy college_biology college_chemistry college_computer_science college_mathematics "
     "college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics "
     "high_school_biology high_school_chemistry high_school_computer_science high_school_mathematics "
     "high_school_physics high_school_statistics machine_learning "
     "physics chemistry biology computer_science math mathematics engineering "},
    {"humanities",
     " formal_logic high_school_european_history high_school_us_history high_school_world_history international_law "
     "jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law "
     "world_religions "
     "history law "},
    {"social sciences",
     " econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics "
     "high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations "
     "security_studies sociology us_foreign_policy "
     "politics culture economics geography psychology "},
    {"other",
     " anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
     "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology "},
};

struct Count {
  int64_t right = 0, all = 0;
  void add(const ChoiceScore& score) {
    right += score.choice == score.answer ? 1 : 0;
    ++all;
  }
  std::string line(std::string_view name) const {
    return fmt::format("{}: {:.4f} +- {:.4f} ({})\n", name, static_cast<double>(right) / static_cast<double>(all),
                       wilson_half_width(right, all), counted(all, "question"));
  }
};

}  // namespace

std::string choice_header(const std::string& subject) {
  return fmt::format("The following are multiple choice questions (with answers) about {}.\n\n", spaced(subject));
}

std::vector<const ChoiceQuestion*> choice_examples(const ChoiceQuestions& questions, size_t asked, int64_t shots) {
  const ChoiceQuestion& own = questions.test[asked];
  const std::vector<ChoiceQuestion>& from = questions.dev.empty() ? questions.test : questions.dev;
  std::vector<const ChoiceQuestion*> solved = first_of(from, own.subject, shots, &own);
  if (shots > 0 && solved.empty() && !questions.dev.empty()) {
    throw ConfigError(fmt::format("num_shots={}: the split dev has no question about {}", shots, own.subject));
  }
  return solved;
}

std::string choice_prompt(const ChoiceQuestions& questions, size_t asked, int64_t shots) {
  const ChoiceQuestion& own = questions.test[asked];
  std::string out = choice_header(own.subject);
  for (const ChoiceQuestion* q : choice_examples(questions, asked, shots)) {
    out += fmt::format("{} {}\n\n", question_text(*q), kLetters[static_cast<size_t>(q->answer)]);
  }
  return out + question_text(own);
}

LetterTokens::LetterTokens(const Tokenizer& tokenizer) {
  for (size_t letter = 0; letter < kLetters.size(); ++letter) {
    std::vector<int32_t> before;
    for (const int32_t token : tokenizer.encode(fmt::format(" {}", kLetters[letter]))) {
      auto found = std::ranges::find(beginnings_, before);
      if (found == beginnings_.end()) found = beginnings_.insert(found, before);
      terms_.push_back({static_cast<size_t>(found - beginnings_.begin()), letter, token});
      before.push_back(token);
    }
  }
}

void LetterTokens::add(size_t beginning, std::span<const float> logits, std::array<double, kChoices>& sums) const {
  const double normaliser = log_sum_exp(logits);
  for (const Term& term : terms_) {
    if (term.beginning != beginning) continue;
    sums[term.letter] += static_cast<double>(logits[static_cast<size_t>(term.token)]) - normaliser;
  }
}

int64_t best_choice(std::span<const float> logprobs) { return std::ranges::max_element(logprobs) - logprobs.begin(); }

// z^2 = 3.8415, of the normal distribution's 97.5 % point.
double wilson_half_width(int64_t right, int64_t count) {
  constexpr double kZ = 1.959963984540054;
  const double n = static_cast<double>(count), p = static_cast<double>(right) / n;
  return kZ / (1 + kZ * kZ / n) * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n));
}

std::string category_of(const std::string& subject) {
  std::string name = subject;
  std::ranges::replace(name, ' ', '_');
  for (const Category& category : kCategories) {
    if (category.subjects.find(fmt::format(" {} ", name)) != std::string_view::npos) {
      return std::string(category.name);
    }
  }
  return "other";
}

std::string accuracy_report(std::span<const ChoiceScore> scores) {
  std::map<std::string, Count> subjects, categories;
  Count all;
  for (const ChoiceScore& score : scores) {
    subjects[score.subject].add(score);
    categories[category_of(score.subject)].add(score);
    all.add(score);
  }
  std::string out;
  for (const auto& [name, count] : subjects) out += count.line(name);
  for (const Category& category : kCategories) {
    if (auto found = categories.find(std::string(category.name)); found != categories.end()) {
      out += found->second.line(category.name);
    }
  }
  return out + all.line("accuracy");
}

}  // namespace fathom
