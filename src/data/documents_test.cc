#include "data/documents.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

const std::string kCorpus = "tests/data/data/corpus";

std::unique_ptr<DocumentSource> open(const std::string& path, const std::string& column = "text") {
  return open_documents(find_dataset(path, "dataset_path"), {.column = column});
}

std::vector<std::string> all_texts(DocumentSource& source) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < source.size(); ++i) texts.emplace_back(source.text(i));
  return texts;
}

TEST(FindDataset, AFolderGivesItsFilesInOrderOfTheirNames) {
  TemporaryFolder folder;
  folder.write("b.jsonl", "{}");
  folder.write("a.jsonl", "{}");
  folder.write(".hidden.txt", "x");
  folder.write("README.md", "x");
  DatasetFiles files = find_dataset(folder.path(), "dataset_path");
  EXPECT_EQ(files.kind, DatasetKind::kJsonl);
  EXPECT_THAT(files.paths, ElementsAre(folder / "a.jsonl", folder / "b.jsonl"));
  EXPECT_THAT(find_dataset(folder / "b*", "dataset_path").paths, ElementsAre(folder / "b.jsonl"));
}

TEST(FindDataset, MistakesNameTheKeyThePathAndTheWayOut) {
  TemporaryFolder folder;
  auto find = [](const std::string& path) { return [path] { find_dataset(path, "hf_path"); }; };
  EXPECT_THAT(find(""), ThrowsMessage<ConfigError>(HasSubstr("hf_path is empty")));
  EXPECT_THAT(find(folder / "absent"),
              ThrowsMessage<ConfigError>("hf_path=" + (folder / "absent") + ": no such file or folder"));
  EXPECT_THAT(find(folder / "absent/*.txt"), ThrowsMessage<ConfigError>(HasSubstr("no such folder")));
  EXPECT_THAT(find(folder.path()),
              ThrowsMessage<ConfigError>(HasSubstr("no .txt, .jsonl or .parquet file in this folder")));
  EXPECT_THAT(find(folder.write("a.csv", "x")),
              ThrowsMessage<ConfigError>(HasSubstr("a data set is a .txt, .jsonl or")));
  folder.write("a.txt", "x");
  EXPECT_THAT(find(folder / "b*"), ThrowsMessage<ConfigError>(HasSubstr("file matches 'b*' in this folder")));
  folder.write("b.jsonl", "{}");
  EXPECT_THAT(find(folder.path()),
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("several kinds (a.txt and b.jsonl)"), HasSubstr("*.jsonl"))));
}

TEST(FindDataset, ASplitIsAFolderOrAPrefixAlsoUnderData) {
  TemporaryFolder folder;
  folder.write("folders/train/a.txt", "x");
  folder.write("folders/validation/b.txt", "x");
  folder.write("names/data/train-00000-of-00001.jsonl", "{}");
  folder.write("names/data/test-00000-of-00001.jsonl", "{}");
  folder.write("none/trainer.txt", "x");
  EXPECT_THAT(find_dataset(folder / "folders", "k", "train").paths, ElementsAre(folder / "folders/train/a.txt"));
  EXPECT_THAT(find_dataset(folder / "names", "k", "test").paths,
              ElementsAre(folder / "names/data/test-00000-of-00001.jsonl"));
  EXPECT_THAT(find_dataset(folder / "none", "k", "train").paths, ElementsAre(folder / "none/trainer.txt"));
  EXPECT_TRUE(has_split(folder / "names", "train"));
  EXPECT_FALSE(has_split(folder / "names", "validation"));
  EXPECT_FALSE(has_split(folder / "none", "train"));
  EXPECT_FALSE(has_split(folder / "absent", "train"));
}

TEST(TextSource, EmptyLinesSeparateDocuments) {
  TemporaryFolder folder;
  std::string path = folder.write("a.txt", "\xef\xbb\xbf\n\none\ntwo\n\n\n\nthree\r\nfour\r\n\r\nfive");
  std::unique_ptr<DocumentSource> source = open(path);
  EXPECT_THAT(all_texts(*source), ElementsAre("one\ntwo", "three\r\nfour", "five"));
  EXPECT_EQ(source->where(1), path + ":8");
  EXPECT_THAT([&] { open(folder.write("b.txt", "\n\n")); }, ThrowsMessage<FormatError>(HasSubstr("no text")));
  EXPECT_THAT([&] { open(folder.write("c.txt", "")); }, ThrowsMessage<FormatError>(HasSubstr("no text")));
}

TEST(JsonlSource, MistakesNameFileAndLine) {
  TemporaryFolder folder;
  auto read = [&](std::string_view content, const std::string& column = "text") {
    std::string path = folder.write("a.jsonl", content);
    return [path, column] { all_texts(*open(path, column)); };
  };
  std::string at = folder / "a.jsonl:";
  std::string good = "{\"text\": \"x\"}\n\n";
  EXPECT_THAT(
      read(good + "{\"text\": oops}"),
      ThrowsMessage<FormatError>(AllOf(HasSubstr(at + "3: not JSON: at column 10: "), HasSubstr("invalid literal"))));
  EXPECT_THAT(read(good + "{\"text\": \"cut"), ThrowsMessage<FormatError>(HasSubstr(at + "3: not JSON")));
  EXPECT_THAT(read(good + "{\"text\": \"\xff\"}"), ThrowsMessage<FormatError>(HasSubstr(at + "3: not JSON")));
  EXPECT_THAT(read(good + "{\"text\": 1e999}"),
              ThrowsMessage<FormatError>(HasSubstr(at + "3: not JSON: number overflow")));
  EXPECT_THAT(read(good + "[1]"),
              ThrowsMessage<FormatError>(HasSubstr(at + "3: a record is an object, here is a JSON array")));
  EXPECT_THAT(read(good + "{\"text\": null}"),
              ThrowsMessage<FormatError>(HasSubstr(at + "3: column 'text' holds a JSON null, not a string")));
  EXPECT_THAT(read(""), ThrowsMessage<FormatError>(HasSubstr("no records")));
}

TEST(JsonlSource, AMissingColumnShowsAtOnceAndNamesThoseThatExist) {
  TemporaryFolder folder;
  std::string path = folder.write("a.jsonl", "{\"content\": \"x\", \"id\": 3}\n");
  EXPECT_THAT([&] { open(path); },
              ThrowsMessage<FormatError>(HasSubstr(path + ":1: no column 'text'; the columns are: content, id")));
  EXPECT_THAT(all_texts(*open(path, "content")), ElementsAre("x"));
}

TEST(ParquetSource, HoldsTheSameDocumentsAsJsonl) {
  std::unique_ptr<DocumentSource> parquet = open(kCorpus + ".parquet");
  std::vector<std::string> texts = all_texts(*parquet);
  EXPECT_EQ(texts.size(), 249u);
  EXPECT_EQ(texts, all_texts(*open(kCorpus + ".jsonl")));
  EXPECT_EQ(parquet->blocks().size(), 4u);
  EXPECT_EQ(parquet->where(248), kCorpus + ".parquet: row 248");
}

TEST(ParquetSource, AnyOrderIsReadThroughASmallCache) {
  DatasetFiles files = find_dataset(kCorpus + ".parquet", "dataset_path");
  std::unique_ptr<DocumentSource> whole = open_documents(files, {});
  std::unique_ptr<DocumentSource> small = open_documents(files, {.cache_bytes = 1});
  for (int64_t i = 0; i < whole->size(); i += 10) {
    int64_t j = (i * 97) % whole->size();
    EXPECT_EQ(small->text(j), whole->text(j));
  }
}

}  // namespace
}  // namespace fathom
