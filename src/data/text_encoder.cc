#include "data/text_encoder.h"

#include <nlohmann/json.hpp>

#include "chat/conversation_tokens.h"

namespace fathom {

TextEncoder text_encoder(std::shared_ptr<const Tokenizer> t) {
  return {.encode = [t](std::string_view text) { return t->encode_utf8(text); },
          .bos_id = t->bos_id(),
          .eos_id = t->eos_id(),
          .pad_id = t->pad_id()};
}

TextEncoder conversation_encoder(std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const ChatFormat> format,
                                 bool completions_only) {
  TextEncoder out = text_encoder(tokenizer);
  out.encode_conversation = [tokenizer, format, completions_only](const nlohmann::ordered_json& messages) {
    if (!completions_only) return Document{.ids = format->ids(*tokenizer, messages, {}), .counts = {}};
    ConversationTokens tokens = conversation_tokens(*format, *tokenizer, messages);
    return Document{.ids = std::move(tokens.ids), .counts = std::move(tokens.assistant)};
  };
  return out;
}

}  // namespace fathom
