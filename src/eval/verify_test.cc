#include "eval/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
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

// The chat check on one line of references, with a template that writes the contents and a mark behind each.
CheckRow chat_row(const std::string& line) {
  TemporaryFolder folder;
  folder.write("tokenizer_config.json",
               R"({"chat_template": "{% for m in messages %}{{ m.content + '|' }}{% endfor %}"})");
  folder.write("chat.jsonl", line);
  return Verifier({.folder = folder.path(), .only = {"chat"}}).run().at(0);
}

TEST(VerifyChat, TextsAndRefusalsAreCompared) {
  const std::string messages = R"("messages": [{"role": "user", "content": "Hi"}])";
  const std::string null = R"("messages": [{"role": "user", "content": null}])";
  EXPECT_EQ(chat_row("{" + messages + R"(, "text": "Hi|"})").status, CheckStatus::kOk);
  EXPECT_EQ(chat_row("{" + null + R"(, "error": true})").status, CheckStatus::kOk);
  EXPECT_THAT(chat_row("{" + messages + R"(, "text": "Hi!"})").where, HasSubstr("chat.jsonl:1: text at byte 2"));
  EXPECT_EQ(chat_row("{" + messages + R"(, "error": true})").status, CheckStatus::kFailed);
  EXPECT_EQ(chat_row("{" + null + R"(, "text": "|"})").status, CheckStatus::kFailed);
  EXPECT_EQ(chat_row("{" + messages + "}").status, CheckStatus::kFailed);
  EXPECT_EQ(chat_row(R"({"text": "Hi|"})").status, CheckStatus::kFailed);
}

TEST(VerifyChat, IdsOfAFormatsFolderAreThoseOfTheTokenizerBesideIt) {
  TemporaryFolder folder;
  std::filesystem::copy("tests/data/chat", folder / "chat", std::filesystem::copy_options::recursive);
  std::filesystem::copy("tests/data/tokenizer", folder / "tokenizer");
  const auto run = [&](const std::string& format) {
    return Verifier({.folder = folder / ("chat/" + format), .only = {"chat"}}).run().at(0);
  };
  for (const char* format : {"v2", "v3", "r1", "v31", "v32"}) EXPECT_EQ(run(format).status, CheckStatus::kOk) << format;
  std::string lines = read_file(folder / "chat/v3/chat.jsonl");
  const size_t ids = lines.find("\"ids\": [0, ");
  ASSERT_NE(ids, std::string::npos);
  folder.write("chat/v3/chat.jsonl", lines.replace(ids, 11, "\"ids\": [1, "));
  EXPECT_THAT(run("v3").where, HasSubstr("chat.jsonl:1 ids"));
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
