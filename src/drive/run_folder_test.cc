#include "drive/run_folder.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(LogEnd, OfAnotherProcessThanTheFirstIsAFileWithItsLastLines) {
  TemporaryFolder folder;
  Config config;
  config.run_directory = folder / "run";
  log_info("the line before");
  log_end(config, 3, RuntimeFault("a fault"));
  const std::string log = read_file(folder / "run/log.3.txt");
  EXPECT_THAT(log, HasSubstr("the line before\n"));
  EXPECT_THAT(log, ContainsRegex("E[0-9]{4} [0-9:]{8} a fault\n$"));
  log_end(config, 3, std::logic_error("a bug"));
  EXPECT_THAT(read_file(folder / "run/log.3.txt"), HasSubstr("internal fault: a bug\n"));
}

TEST(LogEnd, OfTheFirstProcessMakesNoFile) {
  TemporaryFolder folder;
  Config config;
  config.run_directory = folder / "run";
  log_end(config, 0, RuntimeFault("a fault"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(LogEnd, ThatCannotBeWrittenIsAWarning) {
  TemporaryFolder folder;
  Config config;
  config.run_directory = folder.write("file", "") + "/run";
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW(log_end(config, 1, RuntimeFault("a fault")));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("log.1.txt"));
}

TEST(RunFolder, ThatCannotBeMadeIsTheUsersMistake) {
  Config config;
  config.run_directory = "/proc/self/no_folder/run";
  EXPECT_THAT([&] { RunFolder(config, /*goes_on=*/false); },
              testing::ThrowsMessage<ConfigError>(HasSubstr("base_output_directory")));
}

// Records of another run refuse the one, the folder of the other is made by then.
TEST(RunFolder, ThatIsRefusedOrNeverBegunLeavesNoFolderOfTheSecondMetricsFile) {
  TemporaryFolder folder;
  Config config;
  config.run_directory = folder / "run";
  config.metrics_file = folder / "copies/of/metrics.jsonl";
  { RunFolder never_begun(config, /*goes_on=*/false); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  write_file_atomically(folder / "run/metrics.jsonl", "{\"step\": 0}\n");
  EXPECT_THROW(RunFolder(config, /*goes_on=*/false), ConfigError);
  EXPECT_FALSE(std::filesystem::exists(folder / "copies"));
}

}  // namespace
}  // namespace fathom
