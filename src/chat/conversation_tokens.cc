#include "chat/conversation_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

// Bytes [begin, end) of a text.
struct Span {
  size_t begin = 0;
  size_t end = 0;
};

// Where a text leaves the prompt before it: behind the prompt, or where their tokens part. R1's prompt ends in the
// beginning of reasoning that its text does not have, whose "<" the answer may begin with.
size_t end_of_prompt(const Tokenizer& tokenizer, const std::string& prompt, const std::string& text) {
  if (text.starts_with(prompt)) return prompt.size();
  const std::vector<int32_t> a = tokenizer.encode(prompt), b = tokenizer.encode(text);
  size_t bytes = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()) && a[i] == b[i]; ++i) bytes += tokenizer.token_bytes(a[i]).size();
  return bytes;
}

// What message i, an assistant's, adds to the text of the conversation.
Span added_by(const ChatFormat& format, const Tokenizer& tokenizer, const Json& messages, size_t i,
              const std::string& whole) {
  Json first = Json::array();
  for (size_t k = 0; k < i; ++k) first.push_back(messages[k]);
  const std::string before = format.text(first, {.add_generation_prompt = true});
  if (i + 1 == messages.size()) return {end_of_prompt(tokenizer, before, whole), whole.size()};
  first.push_back(messages[i]);
  const std::string after = format.text(first, {});
  if (!whole.starts_with(after)) {
    throw FormatError(fmt::format("messages[{}]", i),
                      "the template writes it otherwise once messages follow it, so what is to be learnt of it is not "
                      "in the text: such templates are not built for training");
  }
  return {end_of_prompt(tokenizer, before, after), after.size()};
}

}  // namespace

ConversationTokens conversation_tokens(const ChatFormat& format, const Tokenizer& tokenizer, const Json& messages) {
  const std::string whole = format.text(messages, {});
  std::vector<Span> spans;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].at("role") == "assistant") spans.push_back(added_by(format, tokenizer, messages, i, whole));
  }
  ConversationTokens out{.ids = format.ids(tokenizer, whole, {}), .assistant = {}};
  out.assistant.resize(out.ids.size());
  // One begin of sentence may stand in front that the text does not have.
  const bool put_in_front = !out.ids.empty() && !whole.starts_with(tokenizer.token_bytes(out.ids[0]));
  size_t at = 0, span = 0;
  for (size_t i = put_in_front ? 1 : 0; i < out.ids.size(); ++i) {
    const size_t end = at + tokenizer.token_bytes(out.ids[i]).size();
    while (span < spans.size() && spans[span].end <= at) ++span;
    out.assistant[i] = span < spans.size() && spans[span].begin < end ? 1 : 0;
    at = end;
  }
  if (at != whole.size()) {
    throw FormatError("tokenizer.json", "takes white space away beside its tokens: not built for training");
  }
  return out;
}

}  // namespace fathom
