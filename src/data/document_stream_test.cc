#include <gmock/gmock.h>

#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "data/stream_testing.h"
#include "storage/arrow_module.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

DataOptions corpus_options(const std::string& ending = ".txt") {
  return {.path = "tests/data/data/corpus" + ending, .rows = 4, .length = 512, .vocab_size = kVocab};
}

// The documents of a batch as text, special ids left out.
void add_documents(const Batch& batch, std::multiset<std::string>& documents) {
  std::span<const int32_t> inputs = batch.inputs.view<int32_t>();
  std::span<const int32_t> segments = batch.inputs_segmentation.view<int32_t>();
  std::span<const int32_t> positions = batch.inputs_position.view<int32_t>();
  std::string text;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (segments[i] == 0) continue;
    if (positions[i] == 0) text.clear();
    if (inputs[i] < 256) text.push_back(static_cast<char>(inputs[i]));
    bool last = i + 1 == inputs.size() || segments[i + 1] == 0 || positions[i + 1] == 0;
    if (last) documents.insert(text);
  }
}

std::multiset<std::string> documents_of(const DataOptions& options) {
  std::unique_ptr<BatchStream> stream = open_batches(options, byte_encoder());
  std::multiset<std::string> documents;
  while (std::optional<Batch> batch = stream->next()) add_documents(*batch, documents);
  return documents;
}

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("document {}\n\n", i);
  return text;
}

TEST(DocumentStream, TheSameSeedGivesTheSameBatchesAndAnotherSeedOthers) {
  DataOptions options = corpus_options();
  Output first = collect(*open_batches(options, byte_encoder()));
  EXPECT_GT(first.batches.size(), 400u);
  EXPECT_EQ(first.batches, collect(*open_batches(options, byte_encoder())).batches);
  options.seed = 1;
  EXPECT_NE(first.batches[0], collect(*open_batches(options, byte_encoder()), 1).batches[0]);
}

TEST(DocumentStream, ParquetGivesTheBatchesOfJsonl) {
  EXPECT_EQ(collect(*open_batches(corpus_options(".parquet"), byte_encoder())).batches,
            collect(*open_batches(corpus_options(".jsonl"), byte_encoder())).batches);
}

TEST(DocumentStream, ResumingAfterAnyBatchGivesTheSameRest) {
  TemporaryFolder folder;
  DataOptions options{
      .path = folder.write("a.txt", lines(40)), .rows = 2, .length = 64, .vocab_size = kVocab, .num_epoch = 3};
  Output whole = collect(*open_batches(options, byte_encoder()));
  ASSERT_GT(whole.batches.size(), 10u);
  EXPECT_GE(whole.states.back().epoch, 2);
  for (size_t i = 0; i < whole.states.size(); ++i) {
    std::unique_ptr<BatchStream> resumed = open_batches(options, byte_encoder());
    resumed->restore(DataState::parse(whole.states[i].to_json(), "state"));
    Output rest = collect(*resumed);
    EXPECT_EQ(rest.batches.size(), whole.batches.size() - i - 1);
    EXPECT_TRUE(
        std::equal(rest.batches.begin(), rest.batches.end(), whole.batches.begin() + static_cast<int64_t>(i) + 1));
    EXPECT_TRUE(std::equal(rest.states.begin(), rest.states.end(), whole.states.begin() + static_cast<int64_t>(i) + 1));
  }
}

TEST(DocumentStream, AStartingStateStartsAgain) {
  std::unique_ptr<BatchStream> stream = open_batches(corpus_options(), byte_encoder());
  Output first = collect(*stream, 3);
  stream->restore({});
  EXPECT_EQ(collect(*stream, 3).batches, first.batches);
}

TEST(DocumentStream, EveryDocumentComesOnceAnEpoch) {
  TemporaryFolder folder;
  DataOptions options{.path = folder.write("a.txt", lines(50)),
                      .rows = 2,
                      .length = 64,
                      .vocab_size = kVocab,
                      .num_epoch = 2,
                      .pad_last_batch = true};
  std::multiset<std::string> documents = documents_of(options);
  EXPECT_EQ(documents.size(), 100u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(documents.count(fmt::format("document {}", i)), 2u);
}

TEST(DocumentStream, TwoProcessesPartitionTheDocuments) {
  DataOptions options = corpus_options();
  options.pad_last_batch = true;
  std::multiset<std::string> whole = documents_of(options);
  options.process_count = 2;
  std::multiset<std::string> first = documents_of(options);
  options.process_index = 1;
  std::multiset<std::string> second = documents_of(options);
  EXPECT_LE(first.size() - second.size(), 1u);
  first.insert(second.begin(), second.end());
  EXPECT_EQ(first, whole);
}

TEST(DocumentStream, LongDocumentsAreCutAndKeepTheirEnd) {
  TemporaryFolder folder;
  DataOptions options{.path = folder.write("a.txt", "0123456789"), .rows = 1, .length = 6, .vocab_size = kVocab};
  std::optional<Batch> batch = open_batches(options, byte_encoder())->next();
  EXPECT_THAT(batch->inputs.view<int32_t>(), testing::ElementsAre(kBos, '0', '1', '2', '3', kEos));
  options.add_bos = options.add_eos = false;
  batch = open_batches(options, byte_encoder())->next();
  EXPECT_THAT(batch->inputs.view<int32_t>(), testing::ElementsAre('0', '1', '2', '3', '4', '5'));
  EXPECT_THAT(batch->targets_segmentation.view<int32_t>(), testing::ElementsAre(1, 1, 1, 1, 1, 0));
}

TEST(DocumentStream, AnIncompleteLastBatchIsDroppedOrPadded) {
  TemporaryFolder folder;
  DataOptions options{.path = folder.write("a.txt", lines(5)), .rows = 2, .length = 16, .vocab_size = kVocab};
  std::unique_ptr<BatchStream> stream = open_batches(options, byte_encoder());
  EXPECT_EQ(collect(*stream).batches.size(), 2u);  // one document a row
  EXPECT_EQ(stream->next(), std::nullopt);
  EXPECT_THAT(stream->end_message(), HasSubstr("all 5 documents have been used once after 2 batches; raise num_epoch"));
  options.pad_last_batch = true;
  stream = open_batches(options, byte_encoder());
  EXPECT_EQ(collect(*stream).batches.size(), 3u);
}

TEST(DocumentStream, ABatchLimitEndsTheStream) {
  DataOptions options = corpus_options();
  options.max_batches = 2;
  std::unique_ptr<BatchStream> stream = open_batches(options, byte_encoder());
  Output first = collect(*stream);
  EXPECT_EQ(first.batches.size(), 2u);
  stream->restore({});
  EXPECT_EQ(collect(*stream).batches, first.batches);
}

TEST(DocumentStream, TooLittleDataSaysWhatToChange) {
  TemporaryFolder folder;
  DataOptions options{.path = folder.write("a.txt", "one\n\ntwo"), .rows = 4, .length = 16, .vocab_size = kVocab};
  EXPECT_THAT([&] { open_batches(options, byte_encoder())->next(); },
              ThrowsMessage<ConfigError>(AllOf(
                  HasSubstr("2 documents with 10 tokens do not make one batch of 4 rows of 16 tokens"),
                  HasSubstr("raise num_epoch"), HasSubstr("per_device_batch_size"), HasSubstr("max_target_length"))));
  options.process_count = 3;
  EXPECT_THAT([&] { open_batches(options, byte_encoder()); }, ThrowsMessage<ConfigError>(HasSubstr("3 processes")));
  options.process_count = 1;
  options.path = folder.write("c.txt", std::string(100, 'x'));
  EXPECT_THAT([&] { open_batches(options, byte_encoder())->next(); },
              ThrowsMessage<ConfigError>(HasSubstr("1 document with 16 tokens does not make one batch of 4 rows")));
  DataOptions empty{.path = folder.write("b.jsonl", "{\"text\": \"\"}"),
                    .rows = 1,
                    .length = 16,
                    .vocab_size = kVocab,
                    .add_bos = false,
                    .add_eos = false,
                    .num_epoch = 1000000000};
  EXPECT_THAT([&] { open_batches(empty, byte_encoder())->next(); }, ThrowsMessage<ConfigError>(HasSubstr("0 tokens")));
}

// DeepSeek's tokenizers pad with their end-of-sentence.
TEST(DocumentStream, TheEndOfSentenceIsTrainedWhereItIsThePaddingToo) {
  TemporaryFolder folder;
  TextEncoder encoder = byte_encoder();
  encoder.pad_id = kEos;
  DataOptions options{.path = folder.write("a.txt", "hello world"), .rows = 1, .length = 32, .vocab_size = kVocab};
  auto weights = [&] { return open_batches(options, encoder)->next()->weights(); };
  EXPECT_EQ(weights(), 12);  // 11 letters and the end
  options.add_eos = false;
  EXPECT_EQ(weights(), 11);
  options.add_eos = options.peer_rules = true;
  EXPECT_EQ(weights(), 11);
}

TEST(DocumentStream, BadRecordsEndTheRunOrAreSkippedAndCounted) {
  TemporaryFolder folder;
  std::string path = folder.write("a.jsonl",
                                  "oops\n{\"text\": \"one\"}\n{\"text\": 3}\n{\"other\": \"x\"}\n{\"text\": "
                                  "\"two\"}\n{\"text\": \"cut");
  DataOptions options{.path = path,
                      .skip_bad_records = true,
                      .rows = 1,
                      .length = 16,
                      .vocab_size = kVocab,
                      .shuffle = false,
                      .num_epoch = 2};
  testing::internal::CaptureStderr();
  EXPECT_EQ(documents_of(options), (std::multiset<std::string>{"one", "one", "two", "two"}));
  std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr(path + ":1: not JSON"));
  EXPECT_THAT(said, HasSubstr("4 of 6 documents could not be read and were left out (skip_bad_records); the first: " +
                              path + ":1: not JSON"));
  options.skip_bad_records = false;
  EXPECT_THAT([&] { documents_of(options); }, ThrowsMessage<FormatError>(HasSubstr(path + ":1: not JSON")));
  options.path = folder.write("b.jsonl", "oops\noops\n");
  options.skip_bad_records = true;
  EXPECT_THAT([&] { documents_of(options); }, ThrowsMessage<ConfigError>(HasSubstr("0 tokens (2 could not be read: ")));
}

TEST(DocumentStream, BadTextNamesItsPlace) {
  TemporaryFolder folder;
  std::string path = folder.write("a.txt", "good\n\nb\xff");
  DataOptions options{.path = path, .rows = 2, .length = 8, .vocab_size = kVocab, .shuffle = false};
  EXPECT_THAT([&] { open_batches(options, byte_encoder())->next(); },
              ThrowsMessage<FormatError>(HasSubstr(path + ":3: not UTF-8: byte 0xff at offset 1")));
}

TEST(DocumentStream, AStateOfAnotherNumberOfProcessesIsRescaled) {
  DataOptions options = corpus_options();
  std::unique_ptr<BatchStream> stream = open_batches(options, byte_encoder());
  stream->restore({.epoch = 0, .position = 100, .batches = 4, .documents = 9, .process_count = 2});
  EXPECT_EQ(stream->state().position, 200);
  EXPECT_EQ(stream->state().process_count, 1);
}

TEST(DataState, BrokenTextIsAnErrorThatNamesTheFile) {
  EXPECT_THAT([] { DataState::parse("{", "folder/data.json"); },
              ThrowsMessage<FormatError>(HasSubstr("folder/data.json")));
  EXPECT_THAT([] { DataState::parse("{\"epoch\": 1}", "folder/data.json"); },
              ThrowsMessage<FormatError>(HasSubstr("position")));
}

// A fresh process each, since the module stays once it is loaded.
TEST(ArrowModuleDeathTest, OnlyParquetLoadsArrow) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto loaded_by = [](const DataOptions& options) {
    open_batches(options, byte_encoder())->next();
    std::exit(arrow_module_loaded() ? 10 : 20);
  };
  DataOptions synthetic{.synthetic = true, .rows = 1, .length = 8, .vocab_size = 10};
  EXPECT_EXIT(loaded_by(synthetic), testing::ExitedWithCode(20), "");
  EXPECT_EXIT(loaded_by(corpus_options(".txt")), testing::ExitedWithCode(20), "");
  EXPECT_EXIT(loaded_by(corpus_options(".jsonl")), testing::ExitedWithCode(20), "");
  EXPECT_EXIT(loaded_by(corpus_options(".parquet")), testing::ExitedWithCode(10), "");
}

}  // namespace
}  // namespace fathom
