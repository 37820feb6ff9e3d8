// How a conversation becomes the text, and the ids, that a model reads.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "chat/template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct ChatOptions {
  // The text ends where the assistant's answer begins. V3.2 has no choice: it does so behind a user's message.
  bool add_generation_prompt = false;
  // Whether the answer begins with reasoning; templates other than V3.1's do not look at it. Unset: the template's own
  // default, in V3.2 false.
  std::optional<bool> thinking = std::nullopt;
  // Descriptions of tools, a list of {"type": "function", "function": {...}}; null: none.
  const nlohmann::ordered_json* tools = nullptr;

  // V3.2 alone. The first `written` messages are known to the model: only the others are written, and no begin of
  // sentence.
  size_t written = 0;
  // Messages of developers before the last question go, in thinking mode.
  bool drop_thinking = true;
  bool begin_of_sentence = true;
};

// A template in place of the folder's own; empty where none is given.
struct GivenTemplate {
  // chat_template_path: a file with Jinja, a JSON file that has it as chat_template, or a folder with templates.
  std::string path = {};
  std::string text = {};  // chat_template
};

// Immutable; may be used from several threads at once.
class ChatFormat {
 public:
  // What stands for a template where the folder has none: V3.2's format if config.json says deepseek_v32 and else
  // nothing, which is an error; or V3.2's format in any case.
  enum class WithoutTemplate : uint8_t { kByModelType, kV32 };

  // Reads the folder's templates and special tokens, and parses the templates. Throws ConfigError that names
  // chat_template_path when there is no template, FormatError with the line of a template that cannot be used.
  static std::shared_ptr<const ChatFormat> load(const std::string& folder,
                                                WithoutTemplate without = WithoutTemplate::kByModelType);
  // The same with a template that is given in place of the folder's, which none need be.
  static std::shared_ptr<const ChatFormat> load(const std::string& folder, const GivenTemplate& given,
                                                WithoutTemplate without = WithoutTemplate::kByModelType);
  ~ChatFormat();
  ChatFormat(const ChatFormat&) = delete;
  ChatFormat& operator=(const ChatFormat&) = delete;

  // `messages`: a list of {"role", "content", ...} in order. Throws FormatError for what the format refuses.
  std::string text(const nlohmann::ordered_json& messages, const ChatOptions& options) const;
  // Ids of the text, which begins with exactly one begin of sentence: a template that leaves it to the tokenizer gets
  // it here.
  std::vector<int32_t> ids(const Tokenizer& tokenizer, const nlohmann::ordered_json& messages,
                           const ChatOptions& options) const;
  // The same of a text that `text` has given with these options.
  std::vector<int32_t> ids(const Tokenizer& tokenizer, const std::string& text, const ChatOptions& options) const;

 private:
  struct State;
  explicit ChatFormat(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace fathom
