#include "base/partial_file.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(PartialFile, TheNameIsThereOnlyWhenAllOfItIs) {
  TemporaryFolder folder;
  const std::string path = folder / "f";
  {
    PartialFile file(path);
    file.resize(5);
    file.write(3, "de");
    EXPECT_FALSE(std::filesystem::exists(path));
    file.write(0, "abc");
    file.finish();
  }
  EXPECT_EQ(read_file(path), "abcde");
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(PartialFile, AnAbandonedOneLeavesNothingAndTheOldFileAsItWas) {
  TemporaryFolder folder;
  const std::string path = folder.write("f", "old");
  {
    PartialFile file(path);
    file.write(0, "new words");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(PartialFile, WhatAKilledProcessLeftIsBegunAnew) {
  TemporaryFolder folder;
  folder.write("f.partial", "a longer text");
  PartialFile file(folder / "f");
  file.write(0, "ab");
  file.finish();
  EXPECT_EQ(read_file(folder / "f"), "ab");
}

TEST(PartialFile, ASecondWriterOfTheSameFileIsRefused) {
  TemporaryFolder folder;
  PartialFile first(folder / "f");
  first.write(0, "kept");
  EXPECT_THAT([&] { PartialFile second(folder / "f"); },
              ThrowsMessage<RuntimeFault>(HasSubstr("another process is writing it")));
  first.finish();
  EXPECT_EQ(read_file(folder / "f"), "kept");
}

TEST(PartialFile, AFolderThatIsNotThereIsOneError) {
  TemporaryFolder folder;
  EXPECT_THAT([&] { PartialFile file(folder / "none/f"); }, ThrowsMessage<RuntimeFault>(HasSubstr("none/f: cannot")));
}

}  // namespace
}  // namespace fathom
