#include "base/file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

size_t entries(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(ReadFile, AFileOfTheKernelThatSaysNoSizeIsReadWhole) {
  EXPECT_EQ(read_file("/proc/sys/kernel/random/boot_id").size(), 37u);
  EXPECT_GT(read_file("/proc/cpuinfo").size(), 0u);
}

TEST(ReadFile, EveryByteIsThere) {
  TemporaryFolder folder;
  for (size_t size : {0, 1, 4095, 4096, 4097, 100'000}) {
    const std::string bytes(size, 'x');
    EXPECT_EQ(read_file(folder.write("file", bytes)), bytes);
  }
}

TEST(WriteFile, LinksStayAndTheirTargetIsWritten) {
  TemporaryFolder folder;
  write_file_atomically(folder / "there", "old");
  fs::create_symlink("there", folder / "link");
  fs::create_symlink("new", folder / "dangling");
  write_file_atomically(folder / "link", "1");
  write_file_atomically(folder / "dangling", "2");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "there"), "1");
  EXPECT_EQ(read_file(folder / "new"), "2");
}

TEST(WriteFile, DevicesStayDevices) {
  write_file_atomically("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT([] { write_file_atomically("/dev/full", "x"); }, ThrowsMessage<RuntimeFault>(HasSubstr("/dev/full")));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(WriteFile, PipeWithoutAReaderIsNoWait) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(write_file_atomically(folder / "pipe", "x"), RuntimeFault);
  EXPECT_THAT([&] { read_file(folder / "pipe"); }, ThrowsMessage<FormatError>(HasSubstr("no regular file")));
}

TEST(WriteFile, KeepsThePermissionsOfTheFileThatItReplaces) {
  TemporaryFolder folder;
  write_file_atomically(folder / "a", "x");
  fs::permissions(folder / "a", fs::perms::owner_read | fs::perms::owner_write);
  write_file_atomically(folder / "a", "y");
  EXPECT_EQ(fs::status(folder / "a").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(WriteFile, LongestNameIsNotTooLong) {
  TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file_atomically(folder / name, "x");
  EXPECT_EQ(read_file(folder / name), "x");
}

TEST(WriteFile, FailureLeavesNothingBehind) {
  TemporaryFolder folder;
  write_file_atomically(folder / "a", "old");
  EXPECT_THROW(write_file_atomically(folder.path(), "x"), RuntimeFault);
  auto beyond_the_limit = [&] {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{.rlim_cur = 4, .rlim_max = 4};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file_atomically(folder / "a", "longer than the limit");
    } catch (const RuntimeFault& e) {
      std::exit(std::string(e.what()).find("File too large") != std::string::npos ? 0 : 1);
    }
  };
  EXPECT_EXIT(beyond_the_limit(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(RequireWritable, NamesTheKeyAndMakesNothing) {
  TemporaryFolder folder;
  write_file_atomically(folder / "file", "x");
  fs::create_symlink("loop", folder / "loop");
  auto refused = [](const std::string& path, const std::string& why) {
    EXPECT_THAT([&] { require_writable("--output", path); },
                ThrowsMessage<ConfigError>(testing::AllOf(HasSubstr("--output"), HasSubstr(why))));
  };
  refused("", "names no file");
  refused("gs://bucket/x", "local");
  refused(folder.path(), "is a folder");
  refused(folder / "new/", "is a folder");
  refused(folder / "file/below", "is a file");
  refused(folder / "loop", "symbolic links");
  refused(folder / std::string(256, 'n'), "name");
  refused(folder / "new/" + std::string(256, 'n') + "/file", "name");
  for (const std::string& good : {folder / "file", folder / "new/deep/file", std::string("/dev/null")}) {
    EXPECT_NO_THROW(require_writable("--output", good)) << good;
  }
  EXPECT_EQ(entries(folder.path()), 2u);
}

}  // namespace
}  // namespace fathom
