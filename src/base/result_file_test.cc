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
    ResultFile file(path, "");
    EXPECT_EQ(file.before(), "");
    file.add("1\n");
    EXPECT_EQ(read_file(path), "1\n");
    file.add("2\n3\n");
  }
  write_file_atomically(path, "1\n2\n3");
  ResultFile file(path, "");
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
  ResultFile file(path, "");
  file.begin_anew();
  EXPECT_EQ(read_file(path), "old\n");
  file.add("new\n");
  EXPECT_EQ(read_file(path), "new\n");
}

// An empty file, and one whose only line was cut anywhere, are taken; what someone else wrote is kept.
TEST(ResultFile, IsNoFileOfSomeoneElse) {
  TemporaryFolder folder;
  const std::string path = folder / "out.jsonl";
  auto read = [&](std::string_view text) {
    write_file_atomically(path, text);
    return ResultFile(path, "{\"prompt").before();
  };
  for (const char* own : {"", "{", "{\"prompt", "{\"prompt\":\"a"}) EXPECT_EQ(read(own), "") << own;
  EXPECT_EQ(read("{\"prompt\":1}\n{\"pro"), "{\"prompt\":1}\n");
  const std::string zeros(500, '\0');
  for (const std::string& other : {std::string("precious"), std::string("{\"my\":1}"), zeros}) {
    EXPECT_THROW(read(other), FormatError) << other;
    EXPECT_THROW(read("{\"prompt\":1}\n" + other), FormatError) << other;
    EXPECT_EQ(read_file(path), "{\"prompt\":1}\n" + other);
  }
  EXPECT_THROW(read("{\"prompt\":1}\r\n"), FormatError);
  EXPECT_THROW(read("{\"prompt\":1}\n\n{\"prompt\":2}\n"), FormatError);
}

TEST(ResultLine, HasACheckThatFindsEveryChange) {
  const std::string line = with_check(R"({"prompt":"a","text":"b"})");
  EXPECT_TRUE(line.starts_with(R"({"prompt":"a","text":"b","check":")")) << line;
  EXPECT_TRUE(check_holds(line));
  for (size_t i = 0; i < line.size(); ++i) {
    std::string other = line;
    other[i] ^= 1;
    EXPECT_FALSE(check_holds(other)) << other;
    EXPECT_FALSE(check_holds(line.substr(0, i)));
  }
  EXPECT_FALSE(check_holds(line + " "));
}

TEST(ResultFile, MayBeADeviceOrNone) {
  ResultFile device("/dev/null", "{"), none("", "{");
  device.add("1\n");
  none.add("1\n");
  EXPECT_EQ(device.before() + none.before(), "");
  ResultFile full("/dev/full", "{");
  EXPECT_THROW(full.add("1\n"), RuntimeFault);
}

}  // namespace
}  // namespace fathom
