#include "eval/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string mistake(VerifyOptions options) {
  try {
    Verifier verifier(std::move(options));
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

TEST(VerifyOptions, AMissingFolderIsAMistakeOfTheUser) {
  EXPECT_THAT(mistake({.folder = "tests/data/nowhere"}), AllOf(HasSubstr("no such folder"), HasSubstr("nowhere")));
}

TEST(VerifyOptions, AnUnknownCheckIsRefusedWithTheListOfAll) {
  EXPECT_THAT(mistake({.folder = "tests/data", .only = {"logits", "logit"}}),
              AllOf(HasSubstr("--only=logit:"), HasSubstr("logits, batch, intermediates"), HasSubstr("chat")));
}

TEST(VerifyOptions, WeightsAndLayerFormCannotBeSetByKey) {
  EXPECT_THAT(mistake({.folder = "tests/data", .config = {"scan_layers=false"}}), HasSubstr("--scan"));
  EXPECT_THAT(mistake({.folder = "tests/data", .config = {"load_parameters_path=x"}}), HasSubstr("FOLDER"));
}

TEST(Verify, AFolderWithoutReferencesHasOnlyAbsentChecksAndFails) {
  TemporaryFolder folder;
  VerifyOptions options{.folder = folder.path()};
  std::vector<CheckRow> rows = Verifier(options).run();
  EXPECT_EQ(rows.size(), check_names().size());
  for (const CheckRow& row : rows) EXPECT_EQ(row.status, CheckStatus::kAbsent) << row.name;
  VerifySummary summary = summarise(rows, options);
  EXPECT_EQ(summary.failed, 0);
  EXPECT_FALSE(summary.success());
}

TEST(Verify, ReferencesWithoutWeightsFailAndSayWhy) {
  TemporaryFolder folder;
  folder.write("golden_logits.jsonl", R"({"prompt": "a", "tokens": [0], "logits": [[0.5]]})");
  std::vector<CheckRow> rows = Verifier({.folder = folder.path(), .only = {"logits"}}).run();
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].status, CheckStatus::kFailed);
  EXPECT_EQ(rows[0].where, "there are logits, but no weights in hf");
}

TEST(VerifySummary, AnAbsentCheckFailsOnlyWhenItWasAskedFor) {
  std::vector<CheckRow> rows = {{.name = "logits", .status = CheckStatus::kOk},
                                {.name = "decode", .status = CheckStatus::kAbsent}};
  EXPECT_TRUE(summarise(rows, {}).success());
  VerifySummary asked = summarise(rows, {.only = {"logits", "decode"}});
  EXPECT_EQ(asked.failed, 1);
  EXPECT_FALSE(asked.success());
}

TEST(VerifyReport, HasARowACheckInColumnsAndTheCountLast) {
  std::vector<CheckRow> rows = {
      {.name = "logits", .status = CheckStatus::kOk, .worst = 1.25e-5, .tolerance = 5e-5, .where = "prompt0[1]"},
      {.name = "router",
       .status = CheckStatus::kFailed,
       .worst = std::numeric_limits<double>::infinity(),
       .where = "experts[0]: 1 instead of 2"},
      {.name = "mtp", .status = CheckStatus::kAbsent, .where = "no mtp.json"}};
  EXPECT_EQ(format_report(rows, {.passed = 1, .failed = 1}, false),
            "logits  ok      1.25e-05  prompt0[1]                  tolerance 5e-05\n"
            "router  FAILED  -         experts[0]: 1 instead of 2  exact\n"
            "mtp     absent  no mtp.json\n"
            "verify: 1 passed, 1 failed\n");
}

TEST(VerifyReport, AsJsonHasOneObjectACheck) {
  std::vector<CheckRow> rows = {
      {.name = "logits", .status = CheckStatus::kOk, .worst = 0.5, .tolerance = 1, .where = "a"},
      {.name = "mtp", .status = CheckStatus::kAbsent, .where = "no mtp.json"}};
  std::string report = format_report(rows, {.passed = 1}, true);
  std::istringstream in(report);
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(
      nlohmann::json::parse(line),
      nlohmann::json({{"check", "logits"}, {"status", "ok"}, {"worst", 0.5}, {"where", "a"}, {"tolerance", 1.0}}));
  std::getline(in, line);
  EXPECT_EQ(nlohmann::json::parse(line)["reason"], "no mtp.json");
  std::getline(in, line);
  EXPECT_EQ(line, "verify: 1 passed, 0 failed");
}

}  // namespace
}  // namespace fathom
