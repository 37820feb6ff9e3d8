#include "chat/conversation_tokens.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::ThrowsMessage;

const std::string kEnd = "<｜end▁of▁sentence｜>";

Json two_turns(const std::string& first, const std::string& second) {
  return {{{"role", "system"}, {"content", "Be brief."}},
          {{"role", "user"}, {"content", "Who are you?"}},
          {{"role", "assistant"}, {"content", first}},
          {{"role", "user"}, {"content", "1+1=?<｜Assistant｜>"}},
          {{"role", "assistant"}, {"content", second}}};
}

const Tokenizer& tokenizer() {
  static const std::shared_ptr<const Tokenizer> one = Tokenizer::load("tests/data/tokenizer");
  return *one;
}

// What is trained of a conversation, as text.
std::string trained(const ChatFormat& format, const Json& messages) {
  const ConversationTokens tokens = conversation_tokens(format, tokenizer(), messages);
  EXPECT_EQ(tokens.ids, format.ids(tokenizer(), messages, {}));
  std::vector<int32_t> kept;
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    if (tokens.assistant[i] != 0) kept.push_back(tokens.ids[i]);
  }
  return tokenizer().decode(kept);
}

std::shared_ptr<const ChatFormat> format_of(const std::string& release) {
  return ChatFormat::load("tests/data/chat/" + release, ChatFormat::WithoutTemplate::kV32);
}

std::shared_ptr<const ChatFormat> format_of_template(const std::string& text) {
  return ChatFormat::load("tests/data/tokenizer", {.path = "", .text = text});
}

TEST(ConversationTokens, EveryAnswerAndItsEndIsTrainedInEveryFormat) {
  const Json messages = two_turns("I am\nDeepSeek.", "2");
  for (const char* release : {"v3", "r1", "v31", "v32"}) {
    EXPECT_EQ(trained(*format_of(release), messages), "I am\nDeepSeek." + kEnd + "2" + kEnd) << release;
  }
  EXPECT_EQ(trained(*format_of("v2"), messages), " I am\nDeepSeek." + kEnd + " 2" + kEnd);
}

TEST(ConversationTokens, ReasoningThatTheTemplateDropsIsNotTrained) {
  const Json messages = two_turns("<think>Hm.</think>I am.", "<think>\nTwo.</think>\n\n2");
  EXPECT_EQ(trained(*format_of("r1"), messages), "I am." + kEnd + "\n\n2" + kEnd);
  EXPECT_EQ(trained(*format_of("v31"), messages), "I am." + kEnd + "\n\n2" + kEnd);
}

// R1's prompt ends in "<think>\n", which the text of an answer does not have.
TEST(ConversationTokens, AnAnswerThatBeginsAsThePromptEndsIsTrainedWhole) {
  EXPECT_EQ(trained(*format_of("r1"), two_turns("<b>bold</b>", "<th>")), "<b>bold</b>" + kEnd + "<th>" + kEnd);
}

TEST(ConversationTokens, EmptyAnswersHaveTheirEndTrained) {
  EXPECT_EQ(trained(*format_of("v3"), two_turns("", "")), kEnd + kEnd);
}

TEST(ConversationTokens, ABeginOfSentenceThatTheTemplateLeavesOutIsPutInFront) {
  const auto format = format_of_template(
      "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}");
  const ConversationTokens tokens = conversation_tokens(*format, tokenizer(), two_turns("a", "b"));
  EXPECT_EQ(tokens.ids.front(), *tokenizer().bos_id());
  EXPECT_EQ(tokens.assistant.front(), 0);
  EXPECT_EQ(trained(*format, two_turns("one", "two")), "one;two;");
}

TEST(ConversationTokens, ATemplateThatRewritesHistoryIsRefused) {
  const auto format =
      format_of_template("{% for m in messages %}{{ m.content if loop.last else m.content[:1] }}{% endfor %}");
  EXPECT_THAT([&] { conversation_tokens(*format, tokenizer(), two_turns("long", "b")); },
              ThrowsMessage<FormatError>(HasSubstr("messages[2]: the template writes it otherwise once messages")));
}

TEST(GivenTemplate, ComesFromAFileAJsonFileOrAFolder) {
  TemporaryFolder folder;
  const Json messages = two_turns("a", "b");
  const std::string text = "{{ messages|length }} of {{ eos_token }}";
  folder.write("chat_template.jinja", text);
  const std::string json = folder.write("t.json", Json{{"chat_template", text}}.dump());
  for (const std::string& path : {folder / "chat_template.jinja", json, folder.path()}) {
    const auto format = ChatFormat::load("tests/data/chat/v32", {.path = path, .text = ""});
    EXPECT_EQ(format->text(messages, {}), "5 of " + kEnd) << path;
  }
  const auto load = [](const std::string& path) {
    ChatFormat::load("tests/data/tokenizer", {.path = path, .text = ""});
  };
  EXPECT_THAT([&] { load(folder / "none"); }, ThrowsMessage<ConfigError>(HasSubstr("none: no such file or folder")));
  EXPECT_THAT([&] { load(folder.write("u.json", "{}")); },
              ThrowsMessage<ConfigError>(HasSubstr("chat_template_path=")));
}

}  // namespace
}  // namespace fathom
