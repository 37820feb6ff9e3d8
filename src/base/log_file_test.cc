#include "base/log_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// What this call puts on stderr.
template <class Call>
std::string said(Call call) {
  testing::internal::CaptureStderr();
  call();
  return testing::internal::GetCapturedStderr();
}

TEST(LogFile, HoldsWhatWasSaidBeforeItThenEachLineAtOnce) {
  TemporaryFolder folder;
  const std::string path = folder / "log.txt";
  log_info("before the file");
  {
    LogFile file(path);
    EXPECT_THAT(read_file(path), ContainsRegex("I[0-9]{4} [0-9:]{8} before the file\n"));
    EXPECT_THAT(kept_log(), Not(HasSubstr("before the file")));
    log_warning("while it lives");
    EXPECT_THAT(read_file(path), ContainsRegex("before the file\nW[0-9]{4} [0-9:]{8} while it lives\n$"));
  }
  log_info("after it");
  EXPECT_THAT(read_file(path), EndsWith("while it lives\n"));
  EXPECT_THAT(kept_log(), EndsWith("after it\n"));
}

TEST(LogFile, GoesOnAtItsEndUnlessAskedToBeginAnew) {
  TemporaryFolder folder;
  const std::string path = folder.write("log.txt", "of an earlier run\n");
  {
    LogFile file(path);
    log_info("first");
  }
  EXPECT_THAT(read_file(path), ContainsRegex("^of an earlier run\n(.*\n)*.* first\n$"));
  {
    LogFile file(path, true);
    log_info("second");
  }
  EXPECT_THAT(read_file(path), Not(HasSubstr("of an earlier run")));
  EXPECT_THAT(read_file(path), EndsWith("second\n"));
}

TEST(LogFile, ThatCannotBeWrittenIsOneWarning) {
  TemporaryFolder folder;
  for (const std::string& path : {folder / "gone/log.txt", std::string("/dev/full")}) {
    const std::string err = said([&] {
      log_info("before");
      LogFile file(path);
      log_info("first");
      log_info("second");
    });
    EXPECT_THAT(err, HasSubstr(path + ": cannot be written: "));
    EXPECT_EQ(err.find("cannot be written"), err.rfind("cannot be written")) << err;
    EXPECT_THAT(err, EndsWith("second\n"));
  }
}

TEST(LogFile, LineOfTheFileAloneIsNotOnStderr) {
  TemporaryFolder folder;
  const std::string path = folder / "log.txt";
  LogFile file(path);
  EXPECT_EQ(said([] { log_to_file(LogLevel::kError, "the end"); }), "");
  EXPECT_THAT(read_file(path), ContainsRegex("E[0-9]{4} [0-9:]{8} the end\n$"));
}

TEST(LogFile, KeepsTheLastLinesWithinABound) {
  const std::string line(1000, 'x');
  said([&] {
    for (size_t i = 0; i < 2 * kKeptLogBytes / line.size(); ++i) log_info("{}", line);
    log_info("the last");
  });
  const std::string kept = kept_log();
  EXPECT_LT(kept.size(), kKeptLogBytes + 1000);
  EXPECT_GT(kept.size(), kKeptLogBytes - 2000);
  EXPECT_THAT(kept, ContainsRegex("^\\([0-9]+ earlier lines are left out\\)\n"));
  EXPECT_THAT(kept, EndsWith("the last\n"));
  TemporaryFolder folder;
  LogFile file(folder / "log.txt");
  EXPECT_EQ(read_file(folder / "log.txt"), kept);
}

}  // namespace
}  // namespace fathom
