// A conversation with a model: the history as the folder's template writes it, and a cache that keeps what of it has
// been read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_format.h"
#include "decode/generator.h"

namespace fathom {

struct ConversationOptions {
  std::string system;                  // the first message; empty: none
  std::optional<bool> thinking;        // as ChatOptions has it
  int64_t length = 0;                  // tokens of the history and an answer together
  int64_t piece = kConversationPiece;  // tokens of what is new in the history, which more are read in
  Sampling sampling = {};

  static constexpr int64_t kConversationPiece = 256;
};

struct ChatMessage {
  std::string role, content;
  std::optional<std::string> reasoning = {};  // of an answer that was thought about
  friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};

struct Answer {
  enum class End : uint8_t {
    kSaid,         // by the model's end of sentence
    kInterrupted,  // by the caller
    kUnread,       // by the caller, before the message was read: the history is as it was
    kNoRoom,       // by the conversation's length
  };
  std::string text;
  End end = End::kSaid;
  int64_t kept = 0;  // tokens of the history that the cache had
  int64_t read = 0;  // tokens of the history that were read now
  int64_t made = 0;  // tokens of the answer
};

// How messages become tokens, and tokens text.
struct ChatText {
  const ChatFormat& format;
  const Tokenizer& tokenizer;
};

class Conversation {
 public:
  // Compiles the programs, but for those that read on from the cache, which are made when they are needed. All
  // arguments but the options outlive this.
  Conversation(const Session& session, const Config& config, const StateSpec& spec, State& state, ChatText text,
               ConversationOptions options);

  // The answer to a user's message. Only what the cache does not have of the history is read: where a template writes
  // earlier messages otherwise than before, all from there on. `show` gets the text as it comes, whole characters;
  // `stopped` is asked after each piece of the message and after each token, and what is said until then stays in the
  // history. Throws ConfigError when there is no room for the message, FormatError when the format refuses it: then the
  // history is as it was.
  Answer ask(const std::string& message, const std::function<void(const std::string&)>& show,
             const std::function<bool()>& stopped);

  // Begins anew.
  void reset();

  const std::vector<ChatMessage>& messages() const { return messages_; }
  // {"messages": [{"role", "content"}, ...]}, as a line of a file to train on has it.
  std::string line() const;
  // The tokens that the cache has.
  const std::vector<int32_t>& cached() const { return cached_; }
  const Generator& generator() const { return generator_; }

 private:
  std::vector<int32_t> history() const;
  void remember(const std::string& answer);

  State& state_;
  ChatText text_;
  ConversationOptions options_;
  int64_t vocabulary_;
  Generator generator_;
  std::vector<ChatMessage> messages_;
  std::vector<int32_t> cached_;
  uint64_t turn_ = 0;
};

}  // namespace fathom
