#include "report/run.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kMetrics = "{\"step\": 0, \"learning/loss\": 1}\n";

std::string refusal(const std::string& folder) {
  try {
    read_run(folder);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(RunData, NameIsTheConfigurationsOrTheFolders) {
  TemporaryFolder folder;
  folder.write("runs/first/metrics.jsonl", kMetrics);
  EXPECT_EQ(read_run(folder / "runs/first/").name, "first");
  folder.write("runs/first/config.yml", "run_name: \"<b>\"\n");
  EXPECT_EQ(read_run(folder / "runs/first").name, "<b>");
}

TEST(RunData, WhatIsMissingOrNotWholeIsNoted) {
  TemporaryFolder folder;
  folder.write("config.yml", "run_name: r\n");
  folder.write("metrics.jsonl", kMetrics);
  EXPECT_THAT(read_run(folder.path()).notes, IsEmpty());
  folder.write("metrics.jsonl", std::string(kMetrics) + "{\"step\": 4}\n{\"st");
  EXPECT_THAT(read_run(folder.path()).notes,
              ElementsAre(HasSubstr("ends within a record"), HasSubstr("3 of the steps")));
  folder.write("metrics.jsonl", kMetrics);
  folder.write("config.yml", "a: [\n");
  EXPECT_THAT(read_run(folder.path()).notes, ElementsAre(HasSubstr("config.yml cannot be read")));
}

TEST(RunData, FolderThatIsNoRunIsOneError) {
  TemporaryFolder folder;
  EXPECT_THAT(refusal(folder / "gone"), HasSubstr("gone is no folder"));
  folder.write("runs/first/metrics.jsonl", kMetrics);
  EXPECT_THAT(refusal(folder / "runs/first/metrics.jsonl"), HasSubstr("is no folder"));
  EXPECT_THAT(refusal(folder / "runs"), HasSubstr("there are runs in it: " + (folder / "runs/first")));
}

}  // namespace
}  // namespace fathom
