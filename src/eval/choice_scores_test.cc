#include "eval/choice_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/temporary_folder.h"
#include "eval/score_file.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

ChoiceQuestions questions() { return read_choice_questions("tests/data/mmlu/mmlu.jsonl", "mmlu_path"); }

// mmlu_scores.jsonl was made by others.
TEST(ChoicePrompt, IsThatOfTheReferences) {
  const ChoiceQuestions all = questions();
  const std::string path = "tests/data/deepseek_v3/mmlu_scores.jsonl";
  int64_t with_shots = 0;
  for_each_json_line(path, read_file(path), [&](int64_t, std::string_view text) {
    const json line = json::parse(text);
    EXPECT_EQ(choice_prompt(all, line["index"], line["shots"]), line["prompt"].get<std::string>());
    with_shots += line["shots"] == 5 ? 1 : 0;
  });
  EXPECT_EQ(with_shots, 15);
}

TEST(ChoicePrompt, TakesItsExamplesFromTheSplitDev) {
  const ChoiceQuestion q{.subject = "a_b", .question = "Q?", .choices = {"1", "2", "3", "4"}, .answer = 2};
  ChoiceQuestion example = q;
  example.question = "E?";
  ChoiceQuestions all{.test = {q, q}, .dev = {example}};
  EXPECT_EQ(choice_prompt(all, 0, 5),
            "The following are multiple choice questions (with answers) about a b.\n\nE?\nA. 1\nB. 2\nC. 3\nD. "
            "4\nAnswer: C\n\nQ?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
  all.dev[0].subject = "other";
  EXPECT_THROW(choice_prompt(all, 0, 5), ConfigError);
  EXPECT_THAT(choice_prompt(all, 0, 0), HasSubstr("\n\nQ?"));
}

TEST(LetterTokens, GiveTheLogProbabilitiesOfTheReferencesLetters) {
  const LetterTokens letters(*Tokenizer::load("tests/data/tokenizer"));
  ASSERT_THAT(letters.beginnings(), SizeIs(1));
  std::array<double, kChoices> sums = {};
  std::vector<float> logits(1792, 0.0f);
  letters.add(0, logits, sums);
  for (const double sum : sums) EXPECT_NEAR(sum, -std::log(1792), 1e-12);
}

// Without merges a letter is two tokens, the space and itself.
TEST(LetterTokens, OfSeveralTokensAddUpBehindEachOther) {
  TemporaryFolder folder;
  json file = json::parse(read_file("tests/data/tokenizer/tokenizer.json"));
  file["model"]["merges"] = json::array();
  const auto tokenizer = Tokenizer::load(folder.write("tokenizer.json", file.dump()));
  const std::vector<int32_t> a = tokenizer->encode(" A");
  ASSERT_THAT(a, SizeIs(2));
  const LetterTokens letters(*tokenizer);
  EXPECT_THAT(letters.beginnings(), ElementsAre(std::vector<int32_t>{}, std::vector<int32_t>{a[0]}));
  std::array<double, kChoices> sums = {};
  std::vector<float> space(1792, 0.0f), letter(1792, 0.0f);
  space[static_cast<size_t>(a[0])] = 2;
  letter[static_cast<size_t>(a[1])] = 3;
  letters.add(0, space, sums);
  letters.add(1, letter, sums);
  const double of_space = 2 - std::log(std::exp(2) + 1791), rest = std::log(std::exp(3) + 1791);
  EXPECT_NEAR(sums[0], of_space + 3 - rest, 1e-6);
  EXPECT_NEAR(sums[3], of_space - rest, 1e-6);
}

// z = 1.96 on textbook numbers: 5 of 10 gives [0.2366, 0.7634], 0 of 10 gives [0, 0.2775].
TEST(WilsonInterval, HasTheWidthsOfTheFormula) {
  EXPECT_NEAR(wilson_half_width(5, 10), (0.7634 - 0.2366) / 2, 1e-4);
  EXPECT_NEAR(wilson_half_width(0, 10), 0.2775 / 2, 1e-4);
  EXPECT_NEAR(wilson_half_width(7000, 14042), 0.0083, 1e-4);
}

TEST(Categories, AreThoseOfTheAuthors) {
  EXPECT_EQ(category_of("abstract_algebra"), "STEM");
  EXPECT_EQ(category_of("world_religions"), "humanities");
  EXPECT_EQ(category_of("us_foreign_policy"), "social sciences");
  EXPECT_EQ(category_of("virology"), "other");
  EXPECT_EQ(category_of("geography"), "social sciences");
  EXPECT_EQ(category_of("high school psychology"), "social sciences");
  EXPECT_EQ(category_of("my own"), "other");
}

TEST(AccuracyReport, HasALineASubjectACategoryAndAll) {
  auto score = [](const char* subject, int64_t choice) {
    return ChoiceScore{.index = 0, .subject = subject, .shots = 0, .logprobs = {}, .choice = choice, .answer = 1};
  };
  const std::vector<ChoiceScore> scores = {score("virology", 1), score("astronomy", 0), score("machine_learning", 1)};
  EXPECT_EQ(accuracy_report(scores),
            "astronomy: 0.0000 +- 0.3967 (1 question)\n"
            "machine_learning: 1.0000 +- 0.3967 (1 question)\n"
            "virology: 1.0000 +- 0.3967 (1 question)\n"
            "STEM: 0.5000 +- 0.4055 (2 questions)\n"
            "other: 1.0000 +- 0.3967 (1 question)\n"
            "accuracy: 0.6667 +- 0.3654 (3 questions)\n");
}

class ScoreFiles : public testing::Test {
 protected:
  ScoreFile open(ScoreFile::Run run = {.model = "m", .shots = 5}) { return {path_, std::move(run), questions_.test}; }
  ChoiceScore score(int64_t index) const {
    const ChoiceQuestion& q = questions_.test[static_cast<size_t>(index)];
    return {.index = index,
            .subject = q.subject,
            .shots = 5,
            .logprobs = {-1.5f, -0.1f, -3, -4},
            .choice = 1,
            .answer = q.answer};
  }
  std::string fault(ScoreFile::Run run) {
    try {
      open(std::move(run));
    } catch (const FormatError& e) {
      return e.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "scores.jsonl";
  ChoiceQuestions questions_ = questions();
};

TEST_F(ScoreFiles, GoOnBehindALineThatIsCut) {
  {
    ScoreFile file = open();
    file.add(std::vector{score(7), score(2)}, true);
    file.add(std::vector{score(9)}, true);
  }
  const std::string whole = read_file(path_);
  folder_.write("scores.jsonl", whole.substr(0, whole.size() - 9));
  ScoreFile file = open();
  EXPECT_EQ(file.size(), 2);
  EXPECT_TRUE(file.has(7) && !file.has(9));
  file.add(std::vector{score(4)}, true);
  EXPECT_EQ(open().size(), 3);
  file.add(std::vector{score(9)}, true);
  const std::vector<ChoiceScore> all = file.finish(true);
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[0].index, 2);
  EXPECT_EQ(all[0].logprobs[1], -0.1f);
  const std::string text = read_file(path_);
  EXPECT_THAT(text, testing::StartsWith("{\"subject\":"));
  EXPECT_EQ(json::parse(text.substr(0, text.find('\n')))["index"], 2);
}

TEST_F(ScoreFiles, WhoseLinesWereChangedAreRefused) {
  open().add(std::vector{score(7), score(2)}, true);
  std::string text = read_file(path_);
  text.replace(text.rfind("-1.5"), 4, "-1.6");
  folder_.write("scores.jsonl", text);
  EXPECT_THAT(fault({.model = "m", .shots = 5}),
              HasSubstr("line 2: was changed since it was written; remove the file"));
}

TEST_F(ScoreFiles, OfAnotherRunAreRefused) {
  open().add(std::vector{score(7), score(2)}, true);
  EXPECT_THAT(fault({.model = "m", .shots = 0}), AllOf(HasSubstr("line 1"), HasSubstr("num_shots=5")));
  EXPECT_THAT(fault({.model = "other", .shots = 5}), HasSubstr("another model, m"));
  EXPECT_THAT(fault({.model = "m", .weights = "new", .shots = 5}), HasSubstr("line 1: is a score of other weights"));
  std::swap(questions_.test[2].subject, questions_.test[0].subject);
  EXPECT_THAT(fault({.model = "m", .shots = 5}), HasSubstr("line 2: question 2 is another one"));
  folder_.write("scores.jsonl", "{}\n");
  EXPECT_THAT(fault({.model = "m", .shots = 5}), HasSubstr("line 1: no score of mmlu"));
}

}  // namespace
}  // namespace fathom
