#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "cli/commands.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string refusal(std::vector<std::string> args) {
  try {
    run_command(args, {});
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

std::string said(std::vector<std::string> args) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_command(args, {}), 0);
  return testing::internal::GetCapturedStdout();
}

class Report : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("run/metrics.jsonl",
                  "{\"step\": 0, \"learning/loss\": 5.0}\n{\"step\": 1, \"learning/loss\": 4.0}\n");
    folder_.write("run/config.yml", "run_name: \"<script>first</script>\"\nsteps: 2\n");
  }
  TemporaryFolder folder_;
};

TEST_F(Report, PageStandsInTheRunsFolderUnlessAFileIsNamed) {
  EXPECT_THAT(said({"report", folder_ / "run"}), HasSubstr("2 steps"));
  const std::string page = read_file(folder_ / "run/report.html");
  EXPECT_THAT(page, StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;first&lt;/script&gt;"));
  EXPECT_EQ(page.find("<script"), std::string::npos);

  const std::string other = folder_ / "pages/of/first.html";
  said({"report", folder_ / "run/", "--output=" + other});
  EXPECT_EQ(read_file(other).substr(0, 15), "<!DOCTYPE html>");
}

TEST_F(Report, PageIsWrittenWholeOrNotAtAll) {
  folder_.write("run/report.html", "older");
  folder_.write("run/expert_load.jsonl", "what is this\n");
  EXPECT_THAT(refusal({"report", folder_ / "run"}), HasSubstr("expert_load.jsonl: line 1"));
  EXPECT_EQ(read_file(folder_ / "run/report.html"), "older");
  EXPECT_THAT(refusal({"report", folder_ / "run", "--output=" + folder_.path()}), HasSubstr("--output"));
}

TEST_F(Report, MistakesAreNamed) {
  EXPECT_THAT(refusal({"report"}), HasSubstr("folder of one run"));
  EXPECT_THAT(refusal({"report", "a", "b"}), HasSubstr("got 2"));
  EXPECT_THAT(refusal({"report", "steps=3"}), HasSubstr("steps=3"));
  EXPECT_THAT(refusal({"report", folder_.path()}), HasSubstr(folder_ / "run"));
  EXPECT_THAT(refusal({"report", folder_ / "gone"}), HasSubstr("gone"));
}

}  // namespace
}  // namespace fathom
