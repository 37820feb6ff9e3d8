#include "eval/mmlu.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/counted.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/parallel_for.h"
#include "base/stopwatch.h"
#include "decode/prompt.h"
#include "decode/result_marks.h"
#include "eval/score_file.h"
#include "eval/token_rows.h"
#include "session/state_load.h"

namespace fathom {
namespace {

using Tokens = std::vector<int32_t>;

std::vector<Tokens> encoded_prompts(const ChoiceQuestions& questions, const Config& config,
                                    const Tokenizer& tokenizer) {
  std::vector<Tokens> out(questions.test.size());
  parallel_for(std::ssize(out), [&](int64_t i) {
    const auto asked = static_cast<size_t>(i);
    out[asked] = prompt_ids(tokenizer, config, "mmlu_path", choice_prompt(questions, asked, config.num_shots));
  });
  return out;
}

// Of each question what its score depends on beside the weights.
std::vector<std::string> asked_of(const std::vector<Tokens>& prompts, const Config& config) {
  const std::string model = model_mark(config);
  std::vector<std::string> out;
  for (const Tokens& prompt : prompts) {
    out.push_back(hash_of(fmt::format("{} {}", model, fmt::join(prompt, " "))).substr(0, 16));
  }
  return out;
}

// Fewer solved questions than are asked for must not pass in silence.
void warn_of_few_examples(const ChoiceQuestions& questions, int64_t shots) {
  std::map<std::string, int64_t> few;  // of each subject that has too few, how many
  for (size_t asked = 0; asked < questions.test.size(); ++asked) {
    const auto count = std::ssize(choice_examples(questions, asked, shots));
    if (count < shots) few[questions.test[asked].subject] = count;
  }
  if (few.empty()) return;
  std::vector<std::string> subjects;
  for (const auto& [subject, count] : few) subjects.push_back(fmt::format("{} {}", subject, count));
  constexpr size_t kListed = 8;
  log_warning("num_shots={}: {} fewer solved questions than that in front: {}", shots,
              few.size() == 1 ? "1 subject has" : fmt::format("{} subjects have", few.size()),
              listed(subjects, kListed));
}

void check_prompts(const std::vector<Tokens>& prompts, const Config& config, size_t behind) {
  size_t longest = 0, too_long = 0;
  for (const Tokens& prompt : prompts) {
    const size_t length = prompt.size() + behind;
    longest = std::max(longest, length);
    too_long += std::cmp_greater(length, config.max_target_length) ? 1 : 0;
    for (const int32_t id : prompt) {
      if (id < config.vocab_size) continue;
      throw ConfigError(fmt::format("token {} of the tokenizer {} is outside of the model's vocabulary of {}", id,
                                    config.tokenizer_path, config.vocab_size));
    }
  }
  if (too_long == 0) return;
  throw ConfigError(
      fmt::format("max_target_length={}: {} of {} prompts are longer; give {} or more, the tokens of the longest",
                  config.max_target_length, too_long, prompts.size(), longest));
}

// A row of the model's input: a question's prompt, and a beginning of letters behind it.
struct ScoredRow {
  size_t question = 0, beginning = 0;
};

class ChoiceScorer {
 public:
  ChoiceScorer(const ChoiceQuestions& questions, const std::vector<Tokens>& prompts, const LetterTokens& letters)
      : questions_(questions), prompts_(prompts), letters_(letters), sums_(prompts.size()), open_(prompts.size()) {
    for (size_t q = 0; q < prompts.size(); ++q) {
      open_[q] = letters.beginnings().size();
      for (size_t b = 0; b < open_[q]; ++b) rows_.push_back({q, b});
    }
  }

  std::vector<int64_t> lengths() const {
    std::vector<int64_t> out;
    for (const ScoredRow& row : rows_) out.push_back(std::ssize(tokens(row)));
    return out;
  }
  Tokens tokens(size_t row) const { return tokens(rows_[row]); }
  size_t question(size_t row) const { return rows_[row].question; }

  // Whether the row was the last one of its question, which then has a score.
  bool take(size_t row, std::span<const float> logits) {
    const ScoredRow& r = rows_[row];
    letters_.add(r.beginning, logits, sums_[r.question]);
    return --open_[r.question] == 0;
  }

  ChoiceScore score(size_t question, int64_t shots) const {
    const ChoiceQuestion& q = questions_.test[question];
    ChoiceScore out{.index = static_cast<int64_t>(question),
                    .subject = q.subject,
                    .shots = shots,
                    .examples = std::ssize(choice_examples(questions_, question, shots)),
                    .logprobs = {},
                    .choice = 0,
                    .answer = q.answer};
    for (size_t i = 0; i < out.logprobs.size(); ++i) {
      out.logprobs[i] = static_cast<float>(sums_[question][i]);
      if (!std::isfinite(out.logprobs[i])) {
        throw RuntimeFault(fmt::format("question {} ({}): the model's logits are not finite", question, q.subject));
      }
    }
    out.choice = best_choice(out.logprobs);
    return out;
  }

 private:
  Tokens tokens(const ScoredRow& row) const {
    Tokens out = prompts_[row.question];
    const Tokens& behind = letters_.beginnings()[row.beginning];
    out.insert(out.end(), behind.begin(), behind.end());
    return out;
  }

  const ChoiceQuestions& questions_;
  const std::vector<Tokens>& prompts_;
  const LetterTokens& letters_;
  std::vector<std::array<double, kChoices>> sums_;  // of log-probabilities, by question
  std::vector<size_t> open_;                        // rows that are missing, by question
  std::vector<ScoredRow> rows_;
};

// What was done, and how fast, now and then and at the end.
class Progress {
 public:
  explicit Progress(int64_t questions) : questions_(questions) {}
  void add(int64_t done, int64_t tokens, double seconds) {
    tokens_ += tokens;
    seconds_ += seconds;
    constexpr double kBetween = 10;
    const bool last = done == questions_;
    if (!last && since_.seconds() < kBetween) return;
    since_ = {};
    log_info("{} of {} scored; {:.0f} tokens/s", done, counted(questions_, "question"),
             static_cast<double>(tokens_) / seconds_);
  }

 private:
  int64_t questions_ = 0, tokens_ = 0;
  double seconds_ = 0;  // of the model's runs
  Stopwatch since_;
};

RowBatchLimits limits_for(const Config& config, const StateSpec& spec, int64_t devices) {
  const double rows = config.per_device_batch_size * static_cast<double>(devices);
  RowBatchLimits out;
  out.tokens = static_cast<int64_t>(std::min(rows * static_cast<double>(config.max_target_length), 1e9));
  // What experts keep follows from the length of the row.
  if (spec.model.drops_tokens()) out.shortest = config.max_target_length;
  return out;
}

// The scores that a batch completes, but for those that the file has.
std::vector<ChoiceScore> scores_of(const RowBatch& batch, const HostArray& logits, ChoiceScorer& scorer,
                                   const ScoreFile& file, int64_t shots) {
  const auto width = static_cast<size_t>(logits.sizes()[1]);
  std::vector<ChoiceScore> out;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const size_t question = scorer.question(batch.rows[i]);
    const bool whole = scorer.take(batch.rows[i], logits.view<float>().subspan(i * width, width));
    if (whole && !file.has(static_cast<int64_t>(question))) out.push_back(scorer.score(question, shots));
  }
  return out;
}

// Batches are those of all questions, whatever the file has, so that a run that goes on gives the same numbers.
void score_all(const Config& config, ChoiceScorer& scorer, ScoreFile& file, int64_t questions) {
  const Session session(config);
  const StateSpec spec = state_spec(config, session.mesh().mesh);
  State state = make_parameters(session, config, spec);
  LastLogits model(session, config, spec, state);
  Progress progress(questions);
  const RowBatchLimits limits = limits_for(config, spec, session.mesh().devices());
  for (const RowBatch& batch : batches_by_length(scorer.lengths(), spec, limits)) {
    const bool done = std::ranges::all_of(
        batch.rows, [&](size_t row) { return file.has(static_cast<int64_t>(scorer.question(row))); });
    if (done) continue;
    std::vector<Tokens> rows;
    int64_t tokens = 0;
    for (const size_t row : batch.rows) {
      rows.push_back(scorer.tokens(row));
      tokens += std::ssize(rows.back());
    }
    const double compiled = model.compile_seconds();
    const Stopwatch running;
    const HostArray logits = model.of(batch.shape, rows);
    const double seconds = running.seconds() - (model.compile_seconds() - compiled);
    file.add(scores_of(batch, logits, scorer, file, config.num_shots), session.writes());
    progress.add(file.size(), tokens, seconds);
  }
  file.finish(session.writes());
}

}  // namespace

std::vector<ChoiceScore> run_mmlu(const Config& config, const std::string& output) {
  if (config.mmlu_path.empty()) throw ConfigError("mmlu_path is missing: the folder of the questions");
  const ChoiceQuestions questions = read_choice_questions(config.mmlu_path, "mmlu_path");
  const auto count = std::ssize(questions.test);
  log_info("{}, {} for examples; num_shots={}", counted(count, "question"), questions.dev.size(), config.num_shots);
  warn_of_few_examples(questions, config.num_shots);
  const auto tokenizer = Tokenizer::load(config.tokenizer_path);
  const std::vector<Tokens> prompts = encoded_prompts(questions, config, *tokenizer);
  ScoreFile file(output,
                 {.model = folder_mark(config),
                  .weights = output.empty() ? "" : weights_mark(config),
                  .shots = config.num_shots,
                  .asked = asked_of(prompts, config)},
                 questions.test);
  if (file.size() > 0) log_info("{} of {} scored in {}", file.size(), counted(count, "question"), output);
  if (file.size() < count) {
    const LetterTokens letters(*tokenizer);
    size_t behind = 0;
    for (const Tokens& beginning : letters.beginnings()) behind = std::max(behind, beginning.size());
    check_prompts(prompts, config, behind);
    ChoiceScorer scorer(questions, prompts, letters);
    score_all(config, scorer, file, count);
  }
  return file.finish(false);
}

}  // namespace fathom
