// The tokens of a whole conversation, and which of them the assistant says.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "chat/chat_format.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct ConversationTokens {
  std::vector<int32_t> ids;
  std::vector<uint8_t>
      assistant;  // 1 for each of `ids` that an assistant's message adds, its end of sentence among them
};

// The ids that ChatFormat gives of the messages without generation prompt. What an assistant's message adds is found in
// the text, not by its marks, which users may type: from where it leaves the text of the messages before it with their
// generation prompt, to its own end. A token that is partly in there counts. Throws FormatError for what the format
// refuses, and for a template that writes a message otherwise once others follow.
ConversationTokens conversation_tokens(const ChatFormat& format, const Tokenizer& tokenizer,
                                       const nlohmann::ordered_json& messages);

}  // namespace fathom
