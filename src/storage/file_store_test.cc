#include "storage/file_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "storage/arrow_module.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::ThrowsMessage;

auto is_entry(const std::string& name, int64_t size, bool is_folder) {
  return AllOf(Field(&FolderEntry::name, name), Field(&FolderEntry::size, size),
               Field(&FolderEntry::is_folder, is_folder));
}

TEST(LocalStore, WritesReadsListsAndRemoves) {
  TemporaryFolder folder;
  std::string path = folder / "a/b/file";
  const FileStore& store = file_store(path);
  EXPECT_EQ(store.kind(path), PathKind::kAbsent);
  store.write_atomically(path, "first");
  store.write_atomically(path, "0123456789");
  store.write_atomically(folder / "a/another", "");
  EXPECT_EQ(store.kind(path), PathKind::kFile);
  EXPECT_EQ(store.kind(folder / "a"), PathKind::kFolder);
  EXPECT_EQ(store.size(path), 10);
  EXPECT_EQ(store.read(path), "0123456789");
  EXPECT_EQ(store.read(folder / "a/another"), "");
  EXPECT_THAT(store.list(folder / "a"), ElementsAre(is_entry("another", 0, false), is_entry("b", 0, true)));
  const std::vector<FolderEntry> below = store.list(folder / "a/b");
  EXPECT_THAT(below, ElementsAre(is_entry("file", 10, false)));
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::nanoseconds(1000));
  EXPECT_EQ(store.list(folder / "a/b")[0].written, below[0].written + 1000);
  store.remove(folder / "a");
  EXPECT_EQ(store.kind(path), PathKind::kAbsent);
  store.remove(folder / "a");
}

TEST(LocalStore, ARangeIsReadExactlyAndPastTheEndIsAnError) {
  TemporaryFolder folder;
  std::string path = folder.write("file", "0123456789");
  std::string out(4, ' ');
  file_store(path).open(path)->read(3, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, "3456");
  EXPECT_THAT([&] { file_store(path).open(path)->read(8, std::as_writable_bytes(std::span(out))); },
              ThrowsMessage<FormatError>(HasSubstr(path + ": at byte 10: cannot read: the file ends here")));
}

TEST(LocalStore, ErrorsNameThePath) {
  TemporaryFolder folder;
  std::string absent = folder / "absent";
  EXPECT_THAT([&] { file_store(absent).read(absent); }, ThrowsMessage<FormatError>(HasSubstr(absent)));
  EXPECT_THAT([&] { file_store(absent).size(absent); }, ThrowsMessage<FormatError>(HasSubstr(absent)));
  EXPECT_THAT([&] { file_store(absent).list(absent); }, ThrowsMessage<FormatError>(HasSubstr(absent)));
}

TEST(FileStore, AnUnknownSchemeIsRefused) {
  EXPECT_THAT([] { file_store("ftp://host/file"); },
              ThrowsMessage<ConfigError>("ftp://host/file: a path is local, gs:// or s3://"));
}

TEST(FileStore, PathsAreJoinedAndCut) {
  EXPECT_EQ(join_path("gs://bucket", "a"), "gs://bucket/a");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(base_name("gs://bucket/a/b.txt"), "b.txt");
  EXPECT_EQ(base_name("a/b/"), "b");
  EXPECT_EQ(base_name("b"), "b");
  EXPECT_EQ(folder_above("gs://bucket/a/b/"), "gs://bucket/a");
  EXPECT_EQ(folder_above("a/b//"), "a");
  EXPECT_EQ(folder_above("b"), ".");
  EXPECT_EQ(folder_above("/b"), "/");
  EXPECT_EQ(folder_above(""), "");
}

TEST(LocalStore, AFileAppearsWhenItIsFinishedAndNotBefore) {
  TemporaryFolder folder;
  const FileStore& store = file_store(folder.path());
  {
    std::unique_ptr<FileUpload> given_up = store.upload(folder / "a/file");
    given_up->append("bytes");
  }
  EXPECT_TRUE(store.list(folder / "a").empty());
  std::unique_ptr<FileUpload> file = store.upload(folder / "a/file");
  file->append("one, ");
  file->append("two");
  EXPECT_EQ(store.kind(folder / "a/file"), PathKind::kAbsent);
  file->finish();
  EXPECT_EQ(store.read(folder / "a/file"), "one, two");

  std::unique_ptr<FileInParts> parts = store.in_parts(folder / "b/file");
  parts->resize(8);
  parts->write(5, "two");
  parts->write(0, "one, ");
  parts->finish();
  EXPECT_EQ(store.read(folder / "b/file"), "one, two");
}

// Arrow's file system in memory stands for an object store.
TEST(ArrowModule, ObjectsAreWrittenReadAndRemoved) {
  const ArrowModule& arrow = arrow_module();
  std::string path = "mock://object";
  EXPECT_EQ(arrow.kind(path, nullptr), PathKind::kAbsent);
  std::unique_ptr<FileUpload> upload = arrow.upload(path);
  upload->append("01234");
  upload->append("56789");
  upload->finish();
  int64_t size = 0;
  EXPECT_EQ(arrow.kind(path, &size), PathKind::kFile);
  EXPECT_EQ(size, 10);
  std::string out(4, ' ');
  arrow.open(path)->read(3, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, "3456");
  EXPECT_THAT([&] { arrow.open(path)->read(8, std::as_writable_bytes(std::span(out))); },
              ThrowsMessage<FormatError>(HasSubstr("mock://object: at byte 8: ")));
  EXPECT_THAT([&] { arrow.list("mock://object"); }, ThrowsMessage<FormatError>(HasSubstr("mock://object: ")));
  EXPECT_THAT([&] { arrow.upload("mock://absent/object"); },
              ThrowsMessage<RuntimeFault>(HasSubstr("mock://absent/object: cannot write")));
  arrow.remove(path);
  EXPECT_EQ(arrow.kind(path, nullptr), PathKind::kAbsent);
}

TEST(ParquetFile, ABrokenFileIsNamedWithTheReason) {
  TemporaryFolder folder;
  std::string text = folder.write("text.parquet", "this is not a parquet file, however long it goes on");
  EXPECT_THAT([&] { ParquetFile(text, "text"); },
              ThrowsMessage<FormatError>(testing::AllOf(HasSubstr(text + ": "), HasSubstr("magic bytes not found"))));
  std::string whole(file_store("").read("tests/data/data/corpus.parquet"));
  std::string cut = folder.write("cut.parquet", std::string_view{whole}.substr(0, whole.size() / 2));
  EXPECT_THAT([&] { ParquetFile(cut, "text"); }, ThrowsMessage<FormatError>(HasSubstr(cut + ": ")));
  for (size_t i = 1000; i < 3000; ++i) whole[i] = '\xff';
  std::string damaged = folder.write("damaged.parquet", whole);
  EXPECT_THAT([&] { ParquetFile(damaged, "text").read(0); }, ThrowsMessage<FormatError>(HasSubstr(damaged + ": ")));
}

TEST(LocalStore, APipeIsAnErrorAndNotWaitedFor) {
  TemporaryFolder folder;
  std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT([&] { file_store(pipe).read(pipe); }, ThrowsMessage<FormatError>(HasSubstr("not a regular file")));
  EXPECT_THAT([&] { file_store(pipe).open(pipe); }, ThrowsMessage<FormatError>(HasSubstr("not a regular file")));
}

// One letter of a page was changed after its checksum was written.
TEST(ParquetFile, APageThatIsNotWhatItsChecksumSaysIsAnError) {
  const std::string path = "tests/data/cases/parquet_checksum.parquet";
  EXPECT_THAT([&] { ParquetFile(path, "text").read(0); },
              ThrowsMessage<FormatError>(testing::AllOf(HasSubstr(path), HasSubstr("CRC"))));
}

// Numbers of the footer, in Thrift's compact form, replaced by others of the same length.
TEST(ParquetFile, AFooterOfSizesThatCannotBeIsAnErrorNotAnAllocation) {
  TemporaryFolder folder;
  const std::string whole(file_store("").read("tests/data/data/corpus.parquet"));
  auto says = [&](std::string_view was, std::string_view becomes, size_t before = std::string::npos) {
    std::string changed = whole;
    const size_t at = changed.rfind(was, before);
    EXPECT_NE(at, std::string::npos);
    changed.replace(at, was.size(), becomes);
    const std::string path = folder.write("changed.parquet", changed);
    try {
      ParquetFile file(path, "text");
      for (int64_t i = 0; i < 4; ++i) file.read(i);
    } catch (const FormatError& e) {
      return std::string(e.what());
    }
    return std::string("read");
  };
  // 57 rows of the last group become -1, then 63.
  EXPECT_THAT(says("\x16\x72\x26\xb6", "\x16\x01\x26\xb6"), HasSubstr("the footer gives row group 3 -1 rows"));
  EXPECT_THAT(says("\x16\x72\x26\xb6", "\x16\x7e\x26\xb6"), HasSubstr("changed.parquet: "));
  // 274,199 bytes of the last group's column become -1; the group has the same number after it.
  const std::string_view bytes = "\x16\xae\xbc\x21";
  EXPECT_THAT(says(bytes, std::string_view("\x16\x81\x80\x00", 4), whole.rfind(bytes) - 1),
              HasSubstr("the footer gives row group 3 57 rows and -1 bytes"));
}

TEST(ParquetFile, AMissingColumnNamesThoseThatExist) {
  EXPECT_THAT([] { ParquetFile("tests/data/data/corpus.parquet", "content"); },
              ThrowsMessage<FormatError>(HasSubstr("no column 'content'; the columns are: text")));
}

TEST(ParquetFile, AnyColumnIsGivenAsJson) {
  const std::string path = "tests/data/mmlu/mmlu.parquet";
  auto first = [&](const char* column) { return std::string(ParquetFile(path, column, ColumnKind::kJson).read(0)[0]); };
  EXPECT_EQ(first("question"), "\"What is the capital of Chile?\"");
  EXPECT_EQ(first("choices"), R"(["Santiago","Hanoi","Nairobi","Paris"])");
  EXPECT_EQ(first("answer"), "0");
}

TEST(ParquetFile, EveryRowGroupGivesTheRowsOfTheFooter) {
  ParquetFile file("tests/data/data/corpus.parquet", "text");
  ASSERT_EQ(file.row_groups().size(), 4u);
  int64_t rows = 0;
  for (int64_t i = 0; i < 4; ++i) rows += file.read(i).rows();
  EXPECT_EQ(rows, 249);
  EXPECT_EQ(file.read(0)[0].substr(0, 17), "module fnmatch.py");
}

TEST(FileStore, PipeIsAnErrorAndNoWait) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  const FileStore& store = file_store(folder / "pipe");
  EXPECT_THAT([&] { store.read(folder / "pipe"); }, ThrowsMessage<FormatError>(HasSubstr("not a regular file")));
  EXPECT_THAT([&] { store.open(folder / "pipe"); }, ThrowsMessage<FormatError>(HasSubstr("not a regular file")));
}

}  // namespace
}  // namespace fathom
