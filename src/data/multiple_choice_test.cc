#include "data/multiple_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "data/csv.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kJsonl = "tests/data/mmlu/mmlu.jsonl", kParquet = "tests/data/mmlu/mmlu.parquet";

ChoiceQuestions read(const std::string& path) { return read_choice_questions(path, "mmlu_path"); }

std::string fault(const std::string& path) {
  try {
    read(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

void expect_equal(const std::vector<ChoiceQuestion>& a, const std::vector<ChoiceQuestion>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].subject, b[i].subject) << i;
    EXPECT_EQ(a[i].question, b[i].question) << i;
    EXPECT_EQ(a[i].choices, b[i].choices) << i;
    EXPECT_EQ(a[i].answer, b[i].answer) << i;
  }
}

TEST(CsvRecords, QuotedFieldsHoldCommasQuotesAndLineBreaks) {
  std::vector<std::vector<std::string>> records;
  std::vector<int64_t> lines;
  for_each_csv_record("f.csv",
                      "\xef\xbb\xbf"
                      "a,\"b, \"\"c\"\"\nd\",\r\n\n1,2\"3",
                      [&](int64_t line, const auto& fields) {
                        lines.push_back(line);
                        records.push_back(fields);
                      });
  EXPECT_THAT(records, ElementsAre(ElementsAre("a", "b, \"c\"\nd", ""), ElementsAre("1", "2\"3")));
  EXPECT_THAT(lines, ElementsAre(1, 4));
  EXPECT_THROW(for_each_csv_record("f.csv", "a,\"b", [](int64_t, const auto&) {}), FormatError);
}

TEST(ChoiceQuestions, OfParquetAreThoseOfJsonl) {
  const ChoiceQuestions lines = read(kJsonl), rows = read(kParquet);
  EXPECT_THAT(lines.test, SizeIs(50));
  EXPECT_THAT(lines.dev, IsEmpty());
  EXPECT_EQ(lines.test[0].question, "What is the capital of Chile?");
  EXPECT_THAT(lines.test[0].choices, ElementsAre("Santiago", "Hanoi", "Nairobi", "Paris"));
  expect_equal(lines.test, rows.test);
}

// As cais/mmlu stands in the Hub's cache: links into `blobs`, and beside `all` a folder for each subject.
TEST(ChoiceQuestions, OfAFolderOfTheHubAreThoseOfItsSplits) {
  namespace fs = std::filesystem;
  TemporaryFolder folder;
  const fs::path source = fs::absolute(kParquet);
  for (const char* subject : {"all", "biology", "geography"}) {
    fs::create_directories(folder / subject);
    for (const char* split : {"test", "dev", "validation"}) {
      fs::create_symlink(source, folder / (std::string(subject) + "/" + split + "-00000-of-00001.parquet"));
    }
  }
  folder.write("README.md", "# MMLU");
  EXPECT_THAT(read(folder.path()).test, SizeIs(50));
  EXPECT_THAT(read(folder.path()).dev, SizeIs(50));
  fs::remove_all(folder / "all");
  EXPECT_THAT(read(folder.path()).test, SizeIs(100));
  EXPECT_THAT(read(folder / "biology").test, SizeIs(50));
}

TEST(ChoiceQuestions, OfTheAuthorsTreeHaveTheSubjectOfTheirFile) {
  TemporaryFolder folder;
  folder.write("data/test/b_test.csv", "\"One, two?\",1,2,3,4,C\n");
  folder.write("data/test/a_test.csv", "Why?,w,x,y,z,A\nWho?,w,x,y,z,D\n");
  folder.write("data/dev/a_dev.csv", "When?,w,x,y,z,B\n");
  folder.write("data/val/a_val.csv", "Where?,w,x,y,z,B\n");
  for (const std::string& path : {folder.path(), folder / "data"}) {
    const ChoiceQuestions got = read(path);
    ASSERT_THAT(got.test, SizeIs(3));
    EXPECT_EQ(got.test[1].subject, "a");
    EXPECT_EQ(got.test[1].answer, 3);
    EXPECT_EQ(got.test[2].question, "One, two?");
    EXPECT_THAT(got.test[2].choices, ElementsAre("1", "2", "3", "4"));
    ASSERT_THAT(got.dev, SizeIs(1));
    EXPECT_EQ(got.dev[0].question, "When?");
  }
  folder.write("data/test/a_test.csv", "Why?,w,x,y,z,A\nWho?,w,x,y,D\n");
  EXPECT_THAT(fault(folder.path()), AllOf(HasSubstr("a_test.csv: line 2"), HasSubstr("5 fields")));
}

// A folder of many things has the questions in the file that is named for them.
TEST(ChoiceQuestions, OfAFolderWithoutSplitsAreItsFiles) {
  TemporaryFolder folder;
  const std::string line = R"({"question": "Q", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": "B"})";
  folder.write("first.jsonl", line + "\n" + line + "\n");
  EXPECT_THAT(read(folder.path()).test, SizeIs(2));
  EXPECT_EQ(read(folder.path()).test[0].answer, 1);
  folder.write("corpus.txt", "text");
  EXPECT_THAT(fault(folder.path()), HasSubstr("several kinds"));
  folder.write("mmlu.jsonl", line + "\n");
  EXPECT_THAT(read(folder.path()).test, SizeIs(1));
}

TEST(ChoiceQuestions, AQuestionThatIsNotWholeIsNamedWithItsLine) {
  TemporaryFolder folder;
  auto says = [&](const std::string& line) {
    const std::string good = R"({"question": "Q", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 3})";
    return fault(folder.write("q.jsonl", good + "\n\n" + line + "\n"));
  };
  EXPECT_THAT(says("{"), HasSubstr("q.jsonl: line 3"));
  EXPECT_THAT(says("[]"), HasSubstr("line 3: a question is an object"));
  EXPECT_THAT(says(R"({"question": "Q", "subject": "s", "choices": ["a", "b", "c", "d"]})"), HasSubstr("no answer"));
  const std::string begin = R"({"question": "Q", "subject": "s", "choices": )";
  EXPECT_THAT(says(begin + R"(["a", "b", "c"], "answer": 0})"), HasSubstr("choices is no list of 4 texts"));
  EXPECT_THAT(says(begin + R"(["a", "b", "c", 4], "answer": 0})"), HasSubstr("a choice is a JSON number"));
  for (const char* answer : {"4", "-1", "1.5", "\"E\"", "\"AB\"", "null"}) {
    EXPECT_THAT(says(begin + R"(["a", "b", "c", "d"], "answer": )" + answer + "}"), HasSubstr("line 3: answer is "));
  }
  EXPECT_THAT(says(begin + R"(["a", "b", "c", "d"], "answer": 0, "answer": 1})"),
              HasSubstr("q.jsonl: line 3: the key 'answer' stands twice"));
  EXPECT_THAT(says(std::string(1000, '[')), HasSubstr("more than 100 JSON lists"));
  EXPECT_THAT(fault("tests/data/data/corpus.parquet"), AllOf(HasSubstr("no column 'question'"), HasSubstr("text")));
  EXPECT_THAT(fault("tests/data/data/corpus.txt"), HasSubstr("questions are read from"));
  EXPECT_THAT(fault(folder / "absent"), HasSubstr("mmlu_path="));
}

}  // namespace
}  // namespace fathom
