#include "eval/score_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

ChoiceScore score_of(const json& object) {
  ChoiceScore out{.index = object.at("index").get<int64_t>(),
                  .subject = object.at("subject").get<std::string>(),
                  .shots = object.at("shots").get<int64_t>(),
                  .examples = object.at("examples").get<int64_t>(),
                  .logprobs = {},
                  .choice = object.at("choice").get<int64_t>(),
                  .answer = object.at("answer").get<int64_t>()};
  const json& logprobs = object.at("logprobs");
  if (!logprobs.is_array() || logprobs.size() != out.logprobs.size()) {
    throw std::invalid_argument(fmt::format("logprobs is no list of {} numbers", kChoices));
  }
  for (size_t i = 0; i < out.logprobs.size(); ++i) out.logprobs[i] = logprobs[i].get<float>();
  return out;
}

}  // namespace

ScoreFile::ScoreFile(std::string path, Run run, const std::vector<ChoiceQuestion>& questions)
    : path_(std::move(path)), file_(path_, "{\"subject"), run_(std::move(run)) {
  for_each_json_line(path_, file_.before(), [&](int64_t number, std::string_view line) {
    try {
      take(number, line, questions);
    } catch (const json::exception& e) {
      throw FormatError(path_, fmt::format("line {}: no score of mmlu: {}", number, json_line_mistake(e)));
    } catch (const std::invalid_argument& e) {
      throw FormatError(path_,
                        fmt::format("line {}: {}; remove the file, or give --output another name", number, e.what()));
    }
  });
}

void ScoreFile::take(int64_t number, std::string_view line, const std::vector<ChoiceQuestion>& questions) {
  const json object = json::parse(line);
  ChoiceScore score = score_of(object);
  const auto model = object.at("model").get<std::string>();
  if (model != run_.model) throw std::invalid_argument(fmt::format("is a score of another model, {}", model));
  if (!object.contains("weights")) throw std::invalid_argument("was written by an earlier version");
  if (object.value("weights", "") != run_.weights) {
    throw std::invalid_argument(fmt::format("is a score of other weights than those that are now in {}", model));
  }
  if (score.shots != run_.shots) {
    throw std::invalid_argument(
        fmt::format("was made with num_shots={}, and this run has {}", score.shots, run_.shots));
  }
  const bool there = score.index >= 0 && score.index < std::ssize(questions);
  const ChoiceQuestion* question = there ? &questions[static_cast<size_t>(score.index)] : nullptr;
  if (question == nullptr || question->subject != score.subject || question->answer != score.answer) {
    throw std::invalid_argument(fmt::format("question {} is another one in mmlu_path", score.index));
  }
  const int64_t index = score.index;
  if (!run_.asked.empty() && object.value("asked", "") != run_.asked[static_cast<size_t>(index)]) {
    throw std::invalid_argument(fmt::format(
        "question {} was asked with another prompt, or the model has other keys, of its own or of numbers (dtype, "
        "weight_dtype, quantize_weights, quantization, ...)",
        index));
  }
  if (!check_holds(line)) throw std::invalid_argument("was changed since it was written");
  if (!scores_.emplace(index, std::move(score)).second) {
    throw FormatError(path_, fmt::format("line {}: question {} is there twice", number, index));
  }
}

std::string ScoreFile::line(const ChoiceScore& score) const {
  nlohmann::ordered_json out = {{"subject", score.subject},   {"index", score.index},       {"shots", score.shots},
                                {"examples", score.examples}, {"logprobs", score.logprobs}, {"choice", score.choice},
                                {"answer", score.answer},     {"model", run_.model},        {"weights", run_.weights}};
  if (!run_.asked.empty()) out["asked"] = run_.asked[static_cast<size_t>(score.index)];
  return with_check(out.dump()) + "\n";
}

void ScoreFile::add(std::span<const ChoiceScore> scores, bool writes) {
  std::string lines;
  for (const ChoiceScore& score : scores) {
    lines += line(score);
    scores_.emplace(score.index, score);
  }
  if (writes) file_.add(lines);
}

std::vector<ChoiceScore> ScoreFile::finish(bool writes) {
  std::vector<ChoiceScore> out;
  std::string lines;
  for (const auto& [index, score] : scores_) {
    lines += line(score);
    out.push_back(score);
  }
  if (writes) file_.replace(lines);
  return out;
}

}  // namespace fathom
