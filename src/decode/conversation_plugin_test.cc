// Conversations whose cache goes on between turns, against decoding from the first token.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "config/resolve/resolve.h"
#include "decode/conversation.h"
#include "session/state_load.h"

namespace fathom {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Tokens = std::vector<int32_t>;
using Json = nlohmann::ordered_json;

constexpr int64_t kLength = 96, kPiece = 32;  // of all conversations here, so that programs are compiled once

// The small V3.2, in which all parts of a cache are, and conversations in several formats.
class Talk {
 public:
  Conversation begin(const ChatFormat& format, std::string system, std::optional<bool> thinking) {
    const ConversationOptions options{
        .system = std::move(system), .thinking = thinking, .length = kLength, .piece = kPiece};
    return {session_, config_, spec_, state_, {format, tokenizer()}, options};
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // Greedy, with nothing in the cache.
  std::string text_behind(const Tokens& ids, int64_t most) {
    if (!generator_) {
      const GeneratorOptions options{
          .longest = kLength, .length = kLength + kPiece, .piece = kPiece, .continues = true};
      generator_.emplace(session_, config_, spec_, options);
    }
    const Prompt prompt{.ids = ids, .most = most};
    const int32_t eos = tokenizer_->eos_id().value();
    return tokenizer_->decode(generator_->run(state_, std::span(&prompt, 1), {.eos = eos}).at(0), true);
  }

 private:
  Config resolved() const {
    const std::vector<std::string> words = {"model_name=auto",      "load_parameters_path=tests/data/deepseek_v32/hf",
                                            "hardware=cpu",         "dtype=float32",
                                            "weight_dtype=float32", "matmul_precision=highest",
                                            "run_name=chat",        "base_output_directory=.",
                                            "mtp_num_layers=0",     "jax_cache_dir=" + compiled_.path()};
    return resolve_config(words, {}, {.needs_data = false}).config;
  }

  TemporaryFolder compiled_;
  Config config_ = resolved();
  Session session_{config_};
  StateSpec spec_ = state_spec(config_, session_.mesh().mesh);
  State state_ = make_parameters(session_, config_, spec_);
  std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load("tests/data/deepseek_v32/hf");
  std::optional<Generator> generator_;
};

std::shared_ptr<const ChatFormat> format_of(const std::string& name) {
  return ChatFormat::load("tests/data/chat/" + name, ChatFormat::WithoutTemplate::kV32);
}

// Asks; the answer ends after `most` tokens. What came is what the answer says.
Answer ask(Conversation& conversation, const std::string& message, int64_t most) {
  std::string shown;
  int64_t steps = 0;
  const Answer answer = conversation.ask(
      message, [&](const std::string& text) { shown += text; }, [&] { return ++steps >= most; });
  EXPECT_EQ(shown, answer.text);
  return answer;
}

int64_t common_length(const Tokens& a, const Tokens& b) { return std::ranges::mismatch(a, b).in1 - a.begin(); }

void expect_only_what_is_new_is_read(Talk& talk) {
  const auto format = format_of("v3");
  Conversation conversation = talk.begin(*format, "Be brief.", {});
  Json messages = Json::array({{{"role", "system"}, {"content", "Be brief."}}});
  Tokens before, cached;
  for (const char* message : {"Who are you?", "And what is the capital of Chile?", "Why?"}) {
    SCOPED_TRACE(message);
    messages.push_back({{"role", "user"}, {"content", message}});
    const Tokens ids = format->ids(talk.tokenizer(), messages, {.add_generation_prompt = true});
    const Answer answer = ask(conversation, message, 8);
    EXPECT_EQ(answer.text, talk.text_behind(ids, answer.made));
    EXPECT_EQ(answer.kept, std::min(common_length(cached, ids), std::ssize(ids) - 1));
    EXPECT_GE(answer.kept, std::ssize(before));  // a template goes on where it was
    EXPECT_EQ(answer.kept + answer.read, std::ssize(ids));
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
    EXPECT_EQ(Json::parse(conversation.line())["messages"], messages);
    cached = conversation.cached();
    before = ids;
    EXPECT_THAT(Tokens(cached.begin(), cached.begin() + std::ssize(ids)), ElementsAreArray(ids));
    EXPECT_EQ(std::ssize(cached), std::ssize(ids) + answer.made - 1);
  }
  conversation.reset();
  EXPECT_EQ(ask(conversation, "Who are you?", 8).text, messages[2]["content"].get<std::string>());
}

// In the next turn the format leaves away what was thought, so that the cache has it in vain.
void expect_thoughts_left_away(Talk& talk) {
  const auto format = format_of("v32");
  Conversation conversation = talk.begin(*format, "", true);
  const Answer first = ask(conversation, "Hi", 6);
  EXPECT_EQ(conversation.messages()[1], (ChatMessage{"assistant", "", first.text}));
  Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
  const ChatOptions options{.add_generation_prompt = true, .thinking = true};
  const Tokens asked = format->ids(talk.tokenizer(), messages, options);
  messages.push_back({{"role", "assistant"}, {"content", ""}});
  messages.push_back({{"role", "user"}, {"content", "Go on"}});
  const Answer second = ask(conversation, "Go on", 6);
  EXPECT_EQ(second.text, talk.text_behind(format->ids(talk.tokenizer(), messages, options), second.made));
  EXPECT_EQ(second.kept, std::ssize(asked) - 1);  // all but <think>
}

void expect_no_room_to_be_said(Talk& talk) {
  const auto format = format_of("v3");
  Conversation conversation = talk.begin(*format, "", {});
  const Answer answer = ask(conversation, "Hello", 1000);
  EXPECT_EQ(answer.end, Answer::End::kNoRoom);
  EXPECT_EQ(answer.read + answer.made, kLength);
  const std::vector<ChatMessage> before = conversation.messages();
  EXPECT_THAT([&] { ask(conversation, "More", 5); },
              ThrowsMessage<ConfigError>(testing::AllOf(HasSubstr("max_target_length=96"), HasSubstr("/reset"))));
  EXPECT_EQ(conversation.messages(), before);
  conversation.reset();
  EXPECT_EQ(ask(conversation, "Hello", 5).end, Answer::End::kInterrupted);
}

// Between two pieces of a message, of which the cache keeps what it has.
void expect_reading_to_be_stopped(Talk& talk) {
  const auto format = format_of("v3");
  Conversation conversation = talk.begin(*format, "", {});
  ask(conversation, "Hello", 4);
  const std::vector<ChatMessage> before = conversation.messages();
  const std::string message = "The quick brown fox jumps over the lazy dog, again and again and again, until dawn.";
  bool shown = false;
  const Answer unread = conversation.ask(
      message, [&](const std::string&) { shown = true; }, [] { return true; });
  EXPECT_EQ(unread.end, Answer::End::kUnread);
  EXPECT_FALSE(shown);
  EXPECT_EQ(unread.read, kPiece);
  EXPECT_EQ(unread.made, 0);
  EXPECT_EQ(conversation.messages(), before);
  EXPECT_EQ(std::ssize(conversation.cached()), unread.kept + kPiece);
  const Answer answer = ask(conversation, message, 5);
  EXPECT_EQ(answer.kept, unread.kept + kPiece);
  Json messages = Json::array({{{"role", "user"}, {"content", "Hello"}}});
  messages.push_back({{"role", "assistant"}, {"content", before[1].content}});
  messages.push_back({{"role", "user"}, {"content", message}});
  const Tokens ids = format->ids(talk.tokenizer(), messages, {.add_generation_prompt = true});
  EXPECT_EQ(answer.text, talk.text_behind(ids, answer.made));
}

TEST(Conversation, ReadsOnlyWhatTheCacheDoesNotHaveAndAnswersAsWithoutACache) {
  Talk talk;
  expect_only_what_is_new_is_read(talk);
  expect_thoughts_left_away(talk);
  expect_no_room_to_be_said(talk);
  expect_reading_to_be_stopped(talk);
}

}  // namespace
}  // namespace fathom
