// Streams over data of every form: what a saved position gives back, and what the peer makes of TFDS data.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/packed_testing.h"
#include "data/prefetch.h"
#include "data/stream_testing.h"
#include "data/text_encoder.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr DocumentContent kIds = DocumentContent::kTokenIds;
constexpr DocumentContent kConversations = DocumentContent::kConversations;

struct Form {
  const char* name;
  const char* path;  // or empty: made from the corpus
  DocumentContent content = DocumentContent::kText;
  bool peer_rules = false;
  bool shuffle = true;
  int process_count = 1;
};

void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }

class EveryForm : public testing::TestWithParam<Form> {
 protected:
  // Three epochs in batches of two rows.
  DataOptions options() const {
    const Form& form = GetParam();
    DataOptions options{.path = form.path,
                        .column = form.content == kIds             ? "tokens"
                                  : form.content == kConversations ? "messages"
                                                                   : "text",
                        .content = form.content,
                        .rows = 2,
                        .length = form.content == kIds ? 32 : 2048,
                        .vocab_size = form.content == kIds ? 2000 : kVocab,
                        .peer_rules = form.peer_rules,
                        .shuffle = form.shuffle,
                        .seed = 5,
                        .num_epoch = 3,
                        .process_index = form.process_count - 1,
                        .process_count = form.process_count};
    const std::string name = form.name;
    if (options.path == "tests/data/tfds") {
      options.split = "train";
      options.tfds_name = "c4/en:3.1.0";
    }
    if (options.path.empty()) {
      const std::string corpus = read_file("tests/data/data/corpus.jsonl");
      const bool gzip = name.starts_with("gzip");
      options.path = folder_.write(gzip ? "a.jsonl.gz" : "a.jsonl.zst", gzip ? gzipped(corpus) : zstd_packed(corpus));
    }
    return options;
  }
  TemporaryFolder folder_;
};

// After batches in each epoch, and around the ends of the epochs.
std::set<size_t> interesting(const std::vector<DataState>& states) {
  std::set<size_t> out = {0, states.size() - 1};
  for (size_t i = 1; i < states.size(); ++i) {
    if (states[i].epoch != states[i - 1].epoch) out.insert({i - 1, i});
    if (i % (1 + states.size() / 4) == 0) out.insert(i);
  }
  return out;
}

TEST_P(EveryForm, AStreamRestoredAfterABatchGivesTheSameRest) {
  const DataOptions options = this->options();
  const Output whole = collect(*open_batches(options, byte_encoder()));
  ASSERT_GT(whole.batches.size(), 5u);
  EXPECT_GE(whole.states.back().epoch, 2);
  for (const bool ahead : {false, true}) {
    // One that has run elsewhere before.
    std::unique_ptr<BatchStream> resumed = open_batches(options, byte_encoder());
    if (ahead) resumed = std::make_unique<Prefetcher>(std::move(resumed), 3);
    collect(*resumed, 2);
    for (size_t i : interesting(whole.states)) {
      resumed->restore(DataState::parse(whole.states[i].to_json(), "state"));
      EXPECT_EQ(resumed->state(), whole.states[i]);
      const size_t some = std::min<size_t>(20, whole.batches.size() - i - 1);
      const Output rest = collect(*resumed, some);
      ASSERT_EQ(rest.batches.size(), some);
      const auto at = static_cast<ptrdiff_t>(i) + 1;
      EXPECT_TRUE(std::ranges::equal(rest.batches, std::span(whole.batches).subspan(static_cast<size_t>(at), some)))
          << i;
      EXPECT_TRUE(std::ranges::equal(rest.states, std::span(whole.states).subspan(static_cast<size_t>(at), some)));
      EXPECT_EQ(resumed->next().has_value(), i + some + 1 < whole.batches.size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Data, EveryForm,
    testing::Values(Form{.name = "text", .path = "tests/data/data/corpus.txt"},
                    Form{.name = "jsonl", .path = "tests/data/data/corpus.jsonl"},
                    Form{.name = "parquet", .path = "tests/data/data/corpus.parquet"}, Form{.name = "gzip", .path = ""},
                    Form{.name = "zstd", .path = ""}, Form{.name = "gzip_in_order", .path = "", .shuffle = false},
                    Form{.name = "tfds", .path = "tests/data/tfds"},
                    Form{.name = "tfds_seventh_process", .path = "tests/data/tfds", .process_count = 7},
                    Form{.name = "tfds_in_order", .path = "tests/data/tfds", .shuffle = false},
                    Form{.name = "tfds_as_the_peer", .path = "tests/data/tfds", .peer_rules = true, .shuffle = false},
                    Form{.name = "tfds_as_the_peer_shared",
                         .path = "tests/data/tfds",
                         .peer_rules = true,
                         .shuffle = false,
                         .process_count = 3},
                    Form{.name = "ids_jsonl", .path = "tests/data/tokens/tokens.jsonl", .content = kIds},
                    Form{.name = "conversations_jsonl", .path = "tests/data/sft/sft.jsonl", .content = kConversations},
                    Form{.name = "conversations_parquet_shared",
                         .path = "tests/data/sft/sft.parquet",
                         .content = kConversations,
                         .process_count = 2},
                    Form{.name = "ids_parquet", .path = "tests/data/tokens/tokens.parquet", .content = kIds}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(DocumentStream, PackedJsonlGivesTheBatchesOfTheFileItWasMadeOf) {
  TemporaryFolder folder;
  const std::string corpus = read_file("tests/data/data/corpus.jsonl");
  DataOptions options{
      .path = "tests/data/data/corpus.jsonl", .rows = 4, .length = 512, .vocab_size = kVocab, .seed = 3};
  const Output plain = collect(*open_batches(options, byte_encoder()));
  for (const std::string& path :
       {folder.write("a.jsonl.gz", gzipped(corpus)), folder.write("a.jsonl.zst", zstd_packed(corpus))}) {
    options.path = path;
    EXPECT_EQ(collect(*open_batches(options, byte_encoder())).batches, plain.batches);
  }
}

// --- TensorFlow Datasets.

DataOptions tfds_options(const std::string& split = "train") {
  return {.path = "tests/data/tfds",
          .split = split,
          .tfds_name = "c4/en:3.1.0",
          .rows = 2,
          .length = 1024,
          .vocab_size = 2048,
          .peer_rules = true,
          .shuffle = false};
}

std::vector<int32_t> row_of(const HostArray& array, int64_t row) {
  const std::span<const int32_t> all = array.view<int32_t>();
  const auto length = static_cast<size_t>(array.sizes()[1]);
  const std::span<const int32_t> part = all.subspan(static_cast<size_t>(row) * length, length);
  return {part.begin(), part.end()};
}

// [number, how many], as the file has them.
nlohmann::json runs(const std::vector<int32_t>& numbers) {
  nlohmann::json out = nlohmann::json::array();
  for (int32_t number : numbers) {
    if (out.empty() || out.back()[0] != number) out.push_back({number, 0});
    out.back()[1] = out.back()[1].get<int>() + 1;
  }
  return out;
}

void expect_row(const Batch& batch, int64_t row, const nlohmann::json& expected) {
  if (expected.contains("inputs")) {
    EXPECT_EQ(nlohmann::json(row_of(batch.inputs, row)), expected["inputs"]);
    EXPECT_EQ(nlohmann::json(row_of(batch.targets, row)), expected["targets"]);
  }
  const std::vector<int32_t> segments = row_of(batch.inputs_segmentation, row);
  EXPECT_EQ(runs(segments), expected["inputs_segmentation"]);
  EXPECT_EQ(runs(row_of(batch.targets_segmentation, row)), expected["targets_segmentation"]);
  const std::vector<int32_t> positions = row_of(batch.inputs_position, row);
  std::vector<int32_t> in_padding;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i] == 0) in_padding.push_back(positions[i]);
    const bool begins = i == 0 || segments[i] != segments[i - 1];
    if (segments[i] != 0) {
      EXPECT_EQ(positions[i], begins ? 0 : positions[i - 1] + 1);
    }
  }
  const nlohmann::json& ends = expected["positions_in_padding"];
  ASSERT_EQ(in_padding.empty(), ends.empty());
  if (ends.empty()) return;
  EXPECT_EQ(nlohmann::json({in_padding.front(), in_padding.back()}), ends);
}

// What MaxText 0.2.5 makes of the same folder with the same tokenizer.
TEST(PeersTfds, BatchesAreThoseOfMaxText) {
  const nlohmann::json expected = nlohmann::json::parse(read_file("tests/data/tfds/c4/en/3.1.0/expected_batches.json"));
  const TextEncoder encoder = text_encoder(Tokenizer::load("tests/data/tokenizer"));
  for (const char* form : {"packed", "not_packed"}) {
    for (const auto& [split, batches] : expected[form].items()) {
      DataOptions options = tfds_options(split);
      options.packing = form == std::string("packed");
      std::unique_ptr<BatchStream> stream = open_batches(options, encoder);
      for (const nlohmann::json& rows : batches) {
        const std::optional<Batch> batch = stream->next();
        ASSERT_TRUE(batch);
        for (size_t row = 0; row < rows.size(); ++row) {
          SCOPED_TRACE(fmt::format("{} {} row {}", form, split, row));
          expect_row(*batch, static_cast<int64_t>(row), rows[row]);
        }
      }
    }
  }
}

// The rows of the corpus in the order in which a stream gives them; their numbers end the feature "url".
std::vector<int> rows_read(DataOptions options) {
  options.column = "url";
  options.rows = 1;
  options.length = 256;
  options.packing = false;
  std::vector<int> rows;
  std::unique_ptr<BatchStream> stream = open_batches(options, byte_encoder());
  while (std::optional<Batch> batch = stream->next()) {
    std::string url;
    for (int32_t id : row_of(batch->inputs, 0)) {
      if (id < kBos) url.push_back(static_cast<char>(id));
    }
    rows.push_back(std::stoi(url.substr(url.rfind('/') + 1)));
  }
  return rows;
}

TEST(PeersTfds, TextsComeInTheOrderOfMaxText) {
  const nlohmann::json expected =
      nlohmann::json::parse(read_file("tests/data/tfds/c4/en/3.1.0/expected_batches.json"))["read_order"];
  for (const char* split : {"train", "validation"}) {
    EXPECT_EQ(nlohmann::json(rows_read(tfds_options(split))), expected[split]) << split;
  }
}

TEST(DocumentStream, TfdsInOrderIsTheOrderOfTheFiles) {
  DataOptions options = tfds_options();
  options.peer_rules = false;
  const std::vector<int> rows = rows_read(options);
  EXPECT_EQ(rows.size(), 150u);
  EXPECT_THAT(std::vector<int>(rows.begin(), rows.begin() + 3), testing::ElementsAre(42, 8, 147));
  EXPECT_EQ(rows.back(), 11);
}

TEST(DocumentStream, MoreProcessesThanShardsHaveEveryTextOnce) {
  std::vector<int> every(150);
  for (int i = 0; i < 150; ++i) every[static_cast<size_t>(i)] = i;
  for (const bool shuffle : {false, true}) {
    for (const bool peer_rules : {false, true}) {
      std::vector<int> all;
      DataOptions options = tfds_options();
      options.shuffle = shuffle;
      options.peer_rules = peer_rules;
      options.process_count = 9;
      for (int process = 0; process < 9; ++process) {
        options.process_index = process;
        const std::vector<int> own = rows_read(options);
        EXPECT_GE(own.size(), 16u);
        all.insert(all.end(), own.begin(), own.end());
      }
      EXPECT_THAT(all, testing::UnorderedElementsAreArray(every)) << shuffle << peer_rules;
    }
  }
}

TEST(DocumentStream, TheSeedShufflesTfdsAndEachEpochAnew) {
  DataOptions options = tfds_options();
  options.shuffle = true;
  options.num_epoch = 2;
  const std::vector<int> rows = rows_read(options);
  ASSERT_EQ(rows.size(), 300u);
  EXPECT_EQ(rows, rows_read(options));
  EXPECT_FALSE(std::equal(rows.begin(), rows.begin() + 150, rows.begin() + 150));
  options.seed = 1;
  EXPECT_NE(rows, rows_read(options));
}

TEST(DocumentStream, ADamagedRecordEndsTheRunOrIsLeftOut) {
  TemporaryFolder folder;
  for (const char* name : {"dataset_info.json", "features.json", "c4-validation.tfrecord-00000-of-00004",
                           "c4-validation.tfrecord-00001-of-00004", "c4-validation.tfrecord-00002-of-00004",
                           "c4-validation.tfrecord-00003-of-00004"}) {
    std::string bytes = read_file(std::string("tests/data/tfds/c4/en/3.1.0/") + name);
    if (std::string_view(name).ends_with("00002-of-00004")) bytes[30] = static_cast<char>(bytes[30] ^ 4);
    folder.write(name, bytes);
  }
  DataOptions options = tfds_options("validation");
  options.path = folder.path();
  const std::string damaged = folder / "c4-validation.tfrecord-00002-of-00004: record 0: its bytes";
  EXPECT_THAT([&] { rows_read(options); }, ThrowsMessage<FormatError>(HasSubstr(damaged)));
  options.skip_bad_records = true;
  testing::internal::CaptureStderr();
  EXPECT_EQ(rows_read(options).size(), 19u);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("1 of 20 documents could not be read and was left"));
}

// --- Token ids.

TEST(DocumentStream, AListOfOneIdMoreThanARowIsARowOfTargets) {
  DataOptions options{.path = "tests/data/tokens/tokens.jsonl",
                      .column = "tokens",
                      .content = kIds,
                      .rows = 3,
                      .length = 16,
                      .vocab_size = 2000,
                      .packing = false,
                      .shuffle = false};
  for (const bool peer_rules : {false, true}) {
    for (const char* ending : {".jsonl", ".parquet"}) {
      options.peer_rules = peer_rules;
      options.path = std::string("tests/data/tokens/tokens") + ending;
      const std::optional<Batch> batch = open_batches(options, {})->next();
      const std::vector<int32_t> inputs = row_of(batch->inputs, 0), targets = row_of(batch->targets, 0);
      for (int32_t i = 0; i < 16; ++i) {
        EXPECT_EQ(inputs[static_cast<size_t>(i)], i);
        EXPECT_EQ(targets[static_cast<size_t>(i)], i + 1);
      }
      EXPECT_EQ(row_of(batch->targets_segmentation, 0), std::vector<int32_t>(16, 1));
      EXPECT_EQ(batch->weights(), 16 + 15 + 14);  // of lists of 17, 16 and 15 ids
      EXPECT_EQ(row_of(batch->inputs, 2).back(), 0);
      EXPECT_EQ(row_of(batch->inputs_segmentation, 2).back(), 0);
    }
  }
}

TEST(DocumentStream, ATokenIdThatIsNotInTheVocabularyIsAnError) {
  TemporaryFolder folder;
  DataOptions options{.path = folder.write("a.jsonl", "{\"ids\": [1, 2]}\n{\"ids\": [3, 5, 4]}\n{\"ids\": [-1]}\n"),
                      .column = "ids",
                      .content = kIds,
                      .rows = 2,
                      .length = 4,
                      .vocab_size = 5,
                      .shuffle = false};
  EXPECT_THAT([&] { open_batches(options, {})->next(); },
              ThrowsMessage<FormatError>(
                  AllOf(HasSubstr("a.jsonl:2: token id 5 is not between 0 and 4"), HasSubstr("vocab_size=5"))));
  options.vocab_size = 6;
  options.packing = false;
  EXPECT_NO_THROW(open_batches(options, {}));
  options.skip_bad_records = true;
  options.pad_last_batch = true;
  EXPECT_EQ(open_batches(options, {})->next()->weights(), 1 + 2);
}

}  // namespace
}  // namespace fathom
