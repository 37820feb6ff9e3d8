// A local folder stands for the remote one here; tests/buckets has real ones.
#include "storage/uploaded_folder.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(UploadedFolder, WhatHasChangedIsUploadedAndNothingElse) {
  TemporaryFolder there;
  UploadedFolder folder(there / "run");
  write_file_atomically(folder.local() + "/metrics.jsonl", "1\n");
  write_file_atomically(folder.local() + "/below/events", "e");
  write_file_atomically(folder.local() + "/empty", "");
  folder.upload();
  EXPECT_EQ(read_file(there / "run/metrics.jsonl"), "1\n");
  EXPECT_EQ(read_file(there / "run/below/events"), "e");
  EXPECT_FALSE(fs::exists(there / "run/empty"));

  there.write("run/below/events", "not touched again");
  write_file_atomically(folder.local() + "/metrics.jsonl", "1\n2\n");
  folder.upload_soon();
  folder.upload();
  EXPECT_EQ(read_file(there / "run/metrics.jsonl"), "1\n2\n");
  EXPECT_EQ(read_file(there / "run/below/events"), "not touched again");
}

TEST(UploadedFolder, ItsEndUploadsTheRestAndRemovesTheCopy) {
  TemporaryFolder there;
  std::string local;
  {
    UploadedFolder folder(there / "run");
    local = folder.local();
    write_file_atomically(local + "/metrics.jsonl", "1\n");
  }
  EXPECT_EQ(read_file(there / "run/metrics.jsonl"), "1\n");
  EXPECT_FALSE(fs::exists(local));
}

TEST(UploadedFolder, AFileThatWasFetchedGoesBackOnlyWhenItHasChanged) {
  TemporaryFolder there;
  there.write("run/metrics.jsonl", "1\n2\n");
  UploadedFolder folder(there / "run");
  EXPECT_FALSE(folder.fetch("absent"));
  EXPECT_TRUE(folder.fetch("metrics.jsonl"));
  EXPECT_EQ(read_file(folder.local() + "/metrics.jsonl"), "1\n2\n");
  there.write("run/metrics.jsonl", "another's");
  folder.upload();
  EXPECT_EQ(read_file(there / "run/metrics.jsonl"), "another's");
  write_file_atomically(folder.local() + "/metrics.jsonl", "1\n");
  folder.upload();
  EXPECT_EQ(read_file(there / "run/metrics.jsonl"), "1\n");
}

TEST(UploadedFolder, WhatCannotBeUploadedStaysInTheCopy) {
  TemporaryFolder there;
  there.write("file", "no folder");
  std::string local;
  {
    UploadedFolder folder(there / "file/run");
    local = folder.local();
    EXPECT_THAT([&] { folder.require_writable(); }, ThrowsMessage<RuntimeFault>(HasSubstr(there / "file/run")));
    write_file_atomically(local + "/metrics.jsonl", "1\n");
    folder.upload_soon();
    EXPECT_THAT([&] { folder.upload(); }, ThrowsMessage<RuntimeFault>(HasSubstr(there / "file/run/metrics.jsonl")));
  }
  EXPECT_EQ(read_file(local + "/metrics.jsonl"), "1\n");
  fs::remove_all(local);
}

TEST(UploadedFolder, CanBeWrittenLeavesNothing) {
  TemporaryFolder there;
  UploadedFolder folder(there / "run");
  folder.require_writable();
  EXPECT_TRUE(fs::is_empty(there / "run"));
}

}  // namespace
}  // namespace fathom
