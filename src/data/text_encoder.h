// A tokenizer as the data streams use it.
#pragma once

#include <memory>

#include "chat/chat_format.h"
#include "data/streams.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

TextEncoder text_encoder(std::shared_ptr<const Tokenizer> tokenizer);

// The same, for conversations too. `completions_only`: what assistants say counts, otherwise every token does.
TextEncoder conversation_encoder(std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const ChatFormat> format,
                                 bool completions_only);

}  // namespace fathom
