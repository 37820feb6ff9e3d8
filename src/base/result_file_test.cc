#include "base/result_file.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

TEST(ResultFile, GrowsAndGoesOnBehindALineThatIsCut) {
  TemporaryFolder folder;
  const std::string path = folder / "new/out.jsonl";
  {
    ResultFile file(path);
    EXPECT_EQ(file.before(), "");
    file.add("1\n");
    EXPECT_EQ(read_file(path), "1\n");
    file.add("2\n3\n");
  }
  write_file_atomically(path, "1\n2\n3");
  ResultFile file(path);
  EXPECT_EQ(file.before(), "1\n2\n");
  EXPECT_EQ(read_file(path), "1\n2\n3") << "nothing is written before there is a result";
  file.add("4\n");
  file.add("5\n");
  EXPECT_EQ(read_file(path), "1\n2\n4\n5\n");
  file.replace("6\n");
  file.add("7\n");
  EXPECT_EQ(read_file(path), "6\n7\n");
}

TEST(ResultFile, ThatBeginsAnewKeepsTheOldLinesUntilThereIsAResult) {
  TemporaryFolder folder;
  const std::string path = folder.write("out.jsonl", "old\n");
  ResultFile file(path);
  file.begin_anew();
  EXPECT_EQ(read_file(path), "old\n");
  file.add("new\n");
  EXPECT_EQ(read_file(path), "new\n");
}

TEST(ResultFile, MayBeADeviceOrNone) {
  ResultFile device("/dev/null"), none("");
  device.add("1\n");
  none.add("1\n");
  EXPECT_EQ(device.before() + none.before(), "");
  ResultFile full("/dev/full");
  EXPECT_THROW(full.add("1\n"), RuntimeFault);
}

}  // namespace
}  // namespace fathom
