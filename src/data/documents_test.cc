#include "data/documents.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/packed_testing.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

const std::string kCorpus = "tests/data/data/corpus";
const std::string kCases = "tests/data/cases/";

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
  EXPECT_THAT(find_dataset(folder / "[b-z].jsonl", "dataset_path").paths, ElementsAre(folder / "b.jsonl"));
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
  EXPECT_THAT(find_dataset(folder / "folders", "k", {.split = "train"}).paths,
              ElementsAre(folder / "folders/train/a.txt"));
  EXPECT_THAT(find_dataset(folder / "names", "k", {.split = "test"}).paths,
              ElementsAre(folder / "names/data/test-00000-of-00001.jsonl"));
  EXPECT_THAT(find_dataset(folder / "none", "k", {.split = "train"}).paths, ElementsAre(folder / "none/trainer.txt"));
  EXPECT_TRUE(has_split(folder / "names", "train"));
  EXPECT_FALSE(has_split(folder / "names", "validation"));
  EXPECT_FALSE(has_split(folder / "none", "train"));
  EXPECT_FALSE(has_split(folder / "absent", "train"));
}

TEST(FindDataset, AFolderWithSplitsMustHaveTheOneThatIsAskedFor) {
  TemporaryFolder folder;
  folder.write("data/train_sft-00000-of-00002.parquet", "x");
  folder.write("data/train_sft-00001-of-00002.parquet", "x");
  folder.write("data/test_sft-00000-of-00001.parquet", "x");
  folder.write("README.md", "x");
  EXPECT_THAT([&] { find_dataset(folder.path(), "hf_path", {.split = "trian_sft"}); },
              ThrowsMessage<ConfigError>(HasSubstr("train_split=trian_sft: hf_path=" + folder.path() +
                                                   " has no such split; it has test_sft, train_sft")));
  TemporaryFolder files;
  files.write("train.jsonl", "{}");
  files.write("test_hard.jsonl", "{}");
  files.write("dev/a.jsonl", "{}");
  EXPECT_THAT(splits_of(files.path()), ElementsAre("dev", "test_hard", "train"));
  EXPECT_THAT([&] { find_dataset(files.path(), "k", {.split = "train_sft"}); },
              ThrowsMessage<ConfigError>(HasSubstr("it has dev, test_hard, train")));
  TemporaryFolder none;
  for (const char* name : {"trainer.txt", "testing.txt", "part-1.txt", "-00000-of-00001.txt", "x-0000-of-00001.txt",
                           "x-00000-of-0000a.txt", "x_00000-of-00001.txt"}) {
    none.write(name, "x");
  }
  EXPECT_THAT(splits_of(none.path()), ElementsAre());
  EXPECT_EQ(find_dataset(none.path(), "k", {.split = "train"}).paths.size(), 7U);
}

TEST(FindDataset, WhatIsLeftAsideIsNamedAndCounted) {
  testing::internal::CaptureStderr();
  EXPECT_THAT(find_dataset(kCases + "folder_with_gz", "dataset_path").paths,
              ElementsAre(kCases + "folder_with_gz/a.jsonl", kCases + "folder_with_gz/b.jsonl.gz"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("1 entry is left aside: c.json"));
  TemporaryFolder folder;
  folder.write("a.jsonl.xz", "x");
  folder.write("part/b.jsonl", "{}");
  EXPECT_THAT([&] { find_dataset(folder.path(), "k"); },
              ThrowsMessage<ConfigError>(HasSubstr("it holds a.jsonl.xz, part/")));
  for (const std::string& path : {folder / "a.jsonl.xz", folder.write("b.csv.gz", "x")}) {
    EXPECT_THAT([&] { find_dataset(path, "k"); }, ThrowsMessage<ConfigError>(HasSubstr("unpack it first"))) << path;
  }
  EXPECT_THAT([&] { find_dataset(folder / "a.jsonl.xz", "k", {.loader = DatasetKind::kLines}); },
              ThrowsMessage<ConfigError>(HasSubstr("unpack it first")));
  EXPECT_THAT([&] { find_dataset(folder / "b.csv.gz", "k", {.loader = DatasetKind::kParquet}); },
              ThrowsMessage<ConfigError>(HasSubstr("unpack it first")));
}

TEST(FindDataset, PackedFilesAreOfTheKindOfWhatTheyHold) {
  TemporaryFolder folder;
  for (const char* name : {"a.txt.gz", "b.txt", "c.txt.zst"}) folder.write(name, "x");
  EXPECT_EQ(find_dataset(folder.path(), "k").paths.size(), 3u);
  EXPECT_EQ(find_dataset(folder.path(), "k").kind, DatasetKind::kText);
  EXPECT_EQ(find_dataset(folder / "a.txt.gz", "k").kind, DatasetKind::kText);
  const std::string json = folder.write("d.json.gz", "x");
  EXPECT_EQ(find_dataset(json, "k").kind, DatasetKind::kJsonl);
  EXPECT_THAT(find_dataset(folder / "*.json.gz", "k").paths, ElementsAre(json));
  EXPECT_THAT(find_dataset(folder.path(), "k", {.loader = DatasetKind::kJsonl}).paths.size(), 4u);
  folder.write("b.jsonl.zst", "x");
  EXPECT_THAT([&] { find_dataset(folder.path(), "k"); },
              ThrowsMessage<ConfigError>(HasSubstr("several kinds (a.txt.gz and b.jsonl.zst): name one file, or a "
                                                   "pattern such as " +
                                                   folder / "*.jsonl.zst")));
}

TEST(FindDataset, AFileBesideItsPackedFormIsAnError) {
  TemporaryFolder folder;
  for (const char* name : {"a.jsonl", "b.jsonl.gz", "a.jsonl.gz"}) folder.write(name, "x");
  EXPECT_THAT([&] { find_dataset(folder.path(), "k"); },
              ThrowsMessage<ConfigError>(
                  AllOf(HasSubstr("a.jsonl.gz lies beside a.jsonl, which is read too"), HasSubstr("*.jsonl.gz"))));
  EXPECT_EQ(find_dataset(folder / "*.jsonl.gz", "k").paths.size(), 2u);
}

TEST(FindDataset, AFolderOfTensorFlowDatasetsIsKnownWhereItsDataSetIsNamed) {
  const DatasetFiles files = find_dataset("tests/data/tfds", "k", {.split = "train", .tfds_name = "c4/en:3.1.0"});
  EXPECT_EQ(files.kind, DatasetKind::kTfds);
  EXPECT_EQ(files.shards.size(), 4u);
  EXPECT_THAT([] { find_dataset("tests/data/tfds", "k", {.split = "train", .tfds_name = "other"}); },
              ThrowsMessage<ConfigError>(HasSubstr("no .txt, .jsonl or .parquet file in this folder")));
  EXPECT_THAT(
      [] { find_dataset("tests/data/tfds", "k", {.split = "train", .tfds_name = "other", .tfds_required = true}); },
      ThrowsMessage<ConfigError>(HasSubstr("no data set 'other'")));
}

TEST(FindDataset, ALoaderReadsFilesOfAnyEnding) {
  TemporaryFolder folder;
  std::string log = folder.write("a.log", "x");
  EXPECT_EQ(find_dataset(log, "k", {.loader = DatasetKind::kLines}).kind, DatasetKind::kLines);
  EXPECT_EQ(find_dataset(folder / "*.log", "k", {.loader = DatasetKind::kJsonl}).kind, DatasetKind::kJsonl);
  folder.write("b.json", "{}");
  EXPECT_EQ(find_dataset(folder / "*.json", "k").kind, DatasetKind::kJsonl);
  EXPECT_THAT(find_dataset(folder.path(), "k", {.loader = DatasetKind::kJsonl}).paths, ElementsAre(folder / "b.json"));
  folder.write("c.txt", "x");
  EXPECT_EQ(find_dataset(folder.path(), "k", {.loader = DatasetKind::kLines}).kind, DatasetKind::kLines);
}

TEST(FindDataset, APipeOrADeviceIsNoDataAndIsNotWaitedFor) {
  TemporaryFolder folder;
  std::string pipe = folder / "a.jsonl";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {pipe, folder.path(), std::string("/dev/null")}) {
    EXPECT_THAT([&] { find_dataset(path, "k"); }, ThrowsMessage<ConfigError>(HasSubstr("no regular file"))) << path;
  }
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

TEST(TextSource, ALoaderOfLinesGivesEveryLine) {
  auto lines = [](const std::string& path) {
    return all_texts(*open_documents(find_dataset(path, "k", {.loader = DatasetKind::kLines}), {}));
  };
  EXPECT_THAT(lines(kCases + "hf_text_lines/t.txt"), ElementsAre("line one", "line two", "", "line three"));
  TemporaryFolder folder;
  EXPECT_THAT(lines(folder.write("a", "one\r\n\r\ntwo")), ElementsAre("one", "", "two"));
  EXPECT_THAT(lines(folder.write("b", "\n")), ElementsAre(""));
}

TEST(TextSource, LinesMayCrossBlocks) {
  TemporaryFolder folder;
  const size_t block = size_t{1} << 20;
  std::string text(block - 1, 'a');
  std::string path = folder.write("a.txt", text + "\r\nb\n\r\n" + std::string(3 * block, 'c'));
  std::unique_ptr<DocumentSource> source = open(path);
  EXPECT_THAT(all_texts(*source), ElementsAre(text + "\r\nb", std::string(3 * block, 'c')));
  EXPECT_EQ(source->where(1), path + ":4");
}

TEST(TextSource, AFileCutWhileItIsReadIsAnErrorThatNamesIt) {
  TemporaryFolder folder;
  for (const char* name : {"a.txt", "a.jsonl"}) {
    std::string path = folder.write(name, "{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n");
    std::unique_ptr<DocumentSource> source = open(path);
    std::filesystem::resize_file(path, 5);
    EXPECT_THAT([&] { source->text(1); }, ThrowsMessage<FormatError>(HasSubstr(path + ": at byte"))) << name;
  }
}

TEST(JsonlSource, AJsonFileIsLinesOrOneList) {
  EXPECT_EQ(all_texts(*open(kCases + "hf_json_ending/plain.json")).size(), 4u);
  TemporaryFolder folder;
  auto list = [&](const std::string& text) { return all_texts(*open(folder.write("a.json", text))); };
  EXPECT_THAT(list(" \n[{\"text\": \"a]}\\\"{\"},\n {\"text\": \"b\", \"c\": [{}, [1]]}\n]\n"),
              ElementsAre("a]}\"{", "b"));
  EXPECT_THAT([&] { list("[{\"text\": \"a\"}, {\"text\": "); },
              ThrowsMessage<FormatError>(HasSubstr("the file is cut short")));
  for (const char* text : {"[1]", "[[1]]", "[{\"text\": \"a\"}] x", "[\"a\"]"}) {
    EXPECT_THAT([&] { list(text); }, ThrowsMessage<FormatError>(HasSubstr("holds objects alone"))) << text;
  }
}

TEST(JsonlSource, PackedFilesHoldTheSameDocuments) {
  TemporaryFolder folder;
  const std::string text = read_file(kCorpus + ".jsonl");
  const std::vector<std::string> texts = all_texts(*open(kCorpus + ".jsonl"));
  for (const std::string& path :
       {folder.write("a.jsonl.gz", gzipped(text)), folder.write("a.jsonl.zst", zstd_packed(text))}) {
    std::unique_ptr<DocumentSource> source = open(path);
    EXPECT_EQ(all_texts(*source), texts);
    EXPECT_EQ(source->where(100), path + ":101");
  }
  EXPECT_THAT(all_texts(*open(folder.write("b.json.gz", gzipped("[{\"text\": \"a\"},\n{\"text\": \"b\"}]")))),
              ElementsAre("a", "b"));
  EXPECT_THAT(all_texts(*open(folder.write("c.txt.gz", gzipped("a\nb\n\nc")))), ElementsAre("a\nb", "c"));
  EXPECT_THAT([&] { open(folder.write("d.jsonl.gz", gzipped("{\"text\": \"a\"}\noops")))->text(1); },
              ThrowsMessage<FormatError>(HasSubstr("d.jsonl.gz:2: not JSON")));
}

TEST(JsonlSource, ListsOfTokenIdsAreReadWhereTheyAreAskedFor) {
  TemporaryFolder folder;
  const auto ids = [&](const std::string& value) {
    return open_documents(find_dataset(folder.write("a.jsonl", "{\"t\": " + value + "}"), "k"),
                          {.column = "t", .content = DocumentContent::kTokenIds})
        ->ids(0);
  };
  EXPECT_THAT(ids("[3, 0, 99999, -1]"), ElementsAre(3, 0, 99999, -1));
  EXPECT_THAT(ids("[]"), ElementsAre());
  for (const char* bad : {"[1.5]", "[\"3\"]", "[null]", "[[1]]", "[18446744073709551615]"}) {
    EXPECT_THAT([&] { ids(bad); }, ThrowsMessage<FormatError>(HasSubstr("a.jsonl:1: column 't' holds "))) << bad;
  }
  EXPECT_THAT([&] { ids("\"text\""); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("holds a JSON string, not a list of token ids"),
                                               HasSubstr("leave tokenize_train_data=False away"))));
  EXPECT_THAT([&] { open(folder.write("b.jsonl", "{\"text\": [1]}")); },
              ThrowsMessage<FormatError>(HasSubstr("tokenize_train_data=False (tokenize_eval_data) takes lists")));
  EXPECT_THAT(
      [&] { open_documents(find_dataset(folder.write("c.txt", "x"), "k"), {.content = DocumentContent::kTokenIds}); },
      ThrowsMessage<ConfigError>(HasSubstr("c.txt: a text file has no lists of token ids")));
}

TEST(JsonlSource, ADeepRecordIsAnErrorAndNoOverflow) {
  TemporaryFolder folder;
  std::string path = folder.write("a.jsonl", "{\"text\": \"x\", \"y\": " + std::string(1000000, '[') + "}");
  EXPECT_THAT([&] { open(path); },
              ThrowsMessage<FormatError>(HasSubstr(path + ":1: at column 119: more than 100 JSON lists")));
}

TEST(JsonlSource, AKeyTwiceIsAnErrorThatNamesIt) {
  TemporaryFolder folder;
  const std::string path = folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"x\", \"text\": \"y\"}\n");
  EXPECT_THAT([&] { all_texts(*open(path)); },
              ThrowsMessage<FormatError>(HasSubstr(path + ":2: at column 15: the key 'text' stands twice")));
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

TEST(ParquetSource, ListsOfWholeNumbersOfAnyKindAreTokenIds) {
  const std::string path = "tests/data/tokens/tokens.parquet";
  const auto open_ids = [&](const std::string& column) {
    return open_documents(find_dataset(path, "k"), {.column = column, .content = DocumentContent::kTokenIds});
  };
  std::unique_ptr<DocumentSource> jsonl = open_documents(find_dataset("tests/data/tokens/tokens.jsonl", "k"),
                                                         {.column = "tokens", .content = DocumentContent::kTokenIds});
  for (const char* column : {"tokens", "large", "fixed"}) {
    std::unique_ptr<DocumentSource> parquet = open_ids(column);
    ASSERT_EQ(parquet->size(), jsonl->size());
    for (int64_t i = 0; i < jsonl->size(); ++i) {
      std::vector<int64_t> expected = jsonl->ids(i);
      while (column == std::string("fixed") && expected.size() < 17) expected.push_back(expected.back() + 1);
      EXPECT_EQ(parquet->ids(i), expected) << column;
    }
  }
  EXPECT_THAT([&] { open_ids("text"); }, ThrowsMessage<FormatError>(HasSubstr("does not hold lists of token ids but")));
  EXPECT_THAT([&] { open(path, "tokens"); },
              ThrowsMessage<FormatError>(HasSubstr("does not hold text but lists of numbers: tokenize_train_data")));
}

TEST(ParquetSource, StringViewsAreText) {
  for (const char* name : {"polars138", "view"}) {
    EXPECT_THAT(all_texts(*open(kCases + "parquet_string_view/" + name + ".parquet")), testing::SizeIs(4)) << name;
  }
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
