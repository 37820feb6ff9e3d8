#include "report/scalars.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::HasSubstr;

RunScalars scalars_of(std::string_view text) {
  TemporaryFolder folder;
  return read_scalars(folder.write("metrics.jsonl", text));
}

std::string refusal(std::string_view text) {
  try {
    scalars_of(text);
  } catch (const FormatError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(RunScalars, NumbersOfEveryRecordByName) {
  const RunScalars run = scalars_of(
      "{\"step\": 3, \"learning/loss\": 2.5, \"n\": 7, \"run_name\": \"x\", \"list\": [1, {\"deep\": 2}]}\n"
      "\n{\"step\": 4, \"learning/loss\": 1.5, \"eval/avg_loss\": 9}\n");
  EXPECT_EQ(run.records, 2);
  EXPECT_EQ(run.first_step, 3);
  EXPECT_EQ(run.last_step, 4);
  EXPECT_FALSE(run.cut);
  ASSERT_EQ(run.series.size(), 3u);
  EXPECT_EQ(run.find("learning/loss")->last().value, 1.5);
  EXPECT_EQ(run.find("learning/loss")->size(), 2);
  EXPECT_EQ(run.find("eval/avg_loss")->last().step, 4);
  EXPECT_EQ(run.find("n")->last().value, 7);
}

TEST(RunScalars, WordsForWhatIsNotFinite) {
  const RunScalars run = scalars_of(
      "{\"step\": 0, \"a\": \"NaN\"}\n{\"step\": 1, \"a\": \"Infinity\"}\n{\"step\": 2, \"a\": \"-Infinity\"}\n");
  EXPECT_EQ(run.find("a")->nan(), 1);
  EXPECT_EQ(run.find("a")->infinite(), 2);
  EXPECT_TRUE(std::isinf(run.find("a")->last().value));
}

TEST(RunScalars, LastLineThatIsBeingWrittenIsLeftOut) {
  const std::string whole = "{\"step\": 0, \"a\": 1}\n", next = "{\"step\": 1, \"a\": 2}";
  for (size_t cut = 1; cut < next.size(); ++cut) {
    const RunScalars run = scalars_of(whole + next.substr(0, cut));
    EXPECT_TRUE(run.cut) << cut;
    EXPECT_EQ(run.records, 1) << cut;
  }
  const RunScalars all = scalars_of(whole + next);  // only the line feed is missing
  EXPECT_FALSE(all.cut);
  EXPECT_EQ(all.records, 2);
}

TEST(RunScalars, LineThatIsNoRecordIsNamed) {
  EXPECT_THAT(refusal("{\"step\": 0}\n\nhello\n{\"step\": 1}\n"), HasSubstr("metrics.jsonl: line 3 is no JSON object"));
  EXPECT_THAT(refusal("{\"step\": 0}\n[1]\n"), HasSubstr("line 2"));
  EXPECT_THAT(refusal("{\"loss\": 0}\n"), HasSubstr("\"step\""));
  EXPECT_THAT(refusal("{\"step\": 0.5}\n"), HasSubstr("\"step\""));
  EXPECT_THAT(refusal("{\"step\": -1}\n"), HasSubstr("\"step\""));
  EXPECT_THAT(refusal("{\"step\": 1e300}\n"), HasSubstr("\"step\""));
  EXPECT_THAT(refusal(std::string(200, '[') + "\n"), HasSubstr("line 1"));
}

TEST(RunScalars, FileWithoutARecordIsNoReport) {
  EXPECT_THAT(refusal(""), HasSubstr("no whole record"));
  EXPECT_THAT(refusal("{\"step\": 0, "), HasSubstr("no whole record"));
}

TEST(RunScalars, RecordsOutOfOrderAreCounted) {
  const RunScalars run = scalars_of("{\"step\": 5, \"a\": 1}\n{\"step\": 5, \"a\": 2}\n{\"step\": 1, \"a\": 3}\n");
  EXPECT_EQ(run.records, 1);
  EXPECT_EQ(run.out_of_order, 2);
  EXPECT_EQ(run.find("a")->last().value, 1);
}

TEST(RunScalars, LinesAcrossThePiecesOfALongFileAreWhole) {
  std::string text;
  const std::string filling(1000, 'x');
  constexpr int64_t kSteps = 9000;  // 9 MB: more than two pieces
  for (int64_t step = 0; step < kSteps; ++step) {
    text += "{\"step\": " + std::to_string(step) + ", \"note\": \"" + filling + "\", \"a\": 1}\n";
  }
  const RunScalars run = scalars_of(text);
  EXPECT_EQ(run.records, kSteps);
  EXPECT_EQ(run.find("a")->sum(), static_cast<double>(kSteps));
  EXPECT_THAT(refusal(text + "broken\n"), HasSubstr("line 9001 "));
}

TEST(RunScalars, NamesWithoutEndAreBounded) {
  std::string text;
  for (int64_t step = 0; step < 300; ++step) {
    text += "{\"step\": " + std::to_string(step) + ", \"s" + std::to_string(step) + "\": 1}\n";
  }
  const RunScalars run = scalars_of(text);
  EXPECT_EQ(run.series.size(), 200u);
  EXPECT_EQ(run.left_out_names, 100);
}

}  // namespace
}  // namespace fathom
