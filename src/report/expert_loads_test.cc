#include "report/expert_loads.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RunLoads loads_of(std::string_view text) {
  TemporaryFolder folder;
  return read_loads(folder.write("expert_load.jsonl", text));
}

std::string refusal(std::string_view text) {
  try {
    loads_of(text);
  } catch (const FormatError& e) {
    return e.what();
  }
  return "accepted";
}

constexpr std::string_view kTwoSteps =
    "{\"step\": 0, \"layer\": 3, \"counts\": [8, 0, 4, 4]}\n"
    "{\"step\": 0, \"layer\": 4, \"counts\": [2, 2, 2, 2]}\n"
    "{\"step\": 10, \"layer\": 3, \"counts\": [3, 5, 4, 4]}\n"
    "{\"step\": 10, \"layer\": 4, \"counts\": [0, 0, 0, 12]}\n";

TEST(RunLoads, AreOverTheMeanOfTheirLayer) {
  const RunLoads run = loads_of(kTwoSteps);
  EXPECT_EQ(run.last_step, 10);
  EXPECT_EQ(run.experts(), 8);
  EXPECT_THAT(run.last.at(3), ElementsAre(0.75, 1.25, 1, 1));
  EXPECT_THAT(run.last.at(4), ElementsAre(0, 0, 0, 4));
  EXPECT_EQ(run.largest.greatest().value, 4);
  EXPECT_EQ(run.largest.least().value, 2);  // of step 0
  EXPECT_EQ(run.median.buckets()[0].sum, 1);
  EXPECT_EQ(run.idle.last().value, 3);
  EXPECT_EQ(run.of_layers.at(3).last().value, 1.25);
  EXPECT_EQ(run.of_layers.at(4).greatest().step, 10);
}

TEST(RunLoads, StepThatIsBeingWrittenIsLeftOut) {
  const RunLoads run = loads_of(kTwoSteps.substr(0, kTwoSteps.size() - 20));
  EXPECT_TRUE(run.cut);
  EXPECT_EQ(run.last_step, 0);
  EXPECT_EQ(run.largest.size(), 1);
}

TEST(RunLoads, LayerThatNoTokenReachedHasNoLoad) {
  const RunLoads run = loads_of("{\"step\": 0, \"layer\": 0, \"counts\": [0, 0]}\n");
  EXPECT_THAT(run.last.at(0), ElementsAre(0, 0));
  EXPECT_EQ(run.idle.last().value, 2);
}

TEST(RunLoads, LineThatIsNoLoadIsNamed) {
  const std::string good = "{\"step\": 5, \"layer\": 1, \"counts\": [1]}\n";
  for (const std::string bad :
       {"x", "{}", "{\"step\": 6, \"layer\": 1, \"counts\": []}", "{\"step\": 6, \"layer\": 1, \"counts\": [-1]}",
        "{\"step\": 6, \"layer\": 1, \"counts\": [\"a\"]}", "{\"step\": 4, \"layer\": 1, \"counts\": [1]}",
        "{\"step\": 5, \"layer\": 1, \"counts\": [1]}"}) {
    EXPECT_THAT(refusal(good + bad + "\n"), HasSubstr("line 2")) << bad;
  }
}

TEST(RunLoads, EmptyFileHasNone) { EXPECT_EQ(loads_of("").largest.size(), 0); }

}  // namespace
}  // namespace fathom
