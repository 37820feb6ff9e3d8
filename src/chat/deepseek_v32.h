// The format of DeepSeek-V3.2, which comes without a template.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "chat/chat_format.h"

namespace fathom {

// The conversation as the release's own encoder writes it (`encoding_dsv32`; without it being at hand: as the ports of
// vLLM, SGLang and mlx-lm, which agree). Throws FormatError that names the message for what it refuses.
std::string deepseek_v32_text(const nlohmann::ordered_json& messages, const ChatOptions& options);

}  // namespace fathom
