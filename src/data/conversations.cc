#include "data/conversations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/parallel_for.h"
#include "base/waiting.h"

namespace fathom {

namespace {

using Json = nlohmann::ordered_json;

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "a truth value";
    case Json::value_t::string:
      return "a text";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

// A field of message i that must be a text; what is wrong with it goes to `mistake`.
const std::string* text_field(const Json& message, const char* field, size_t i, std::string& mistake) {
  const auto found = message.find(field);
  if (found == message.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : message.items()) names.push_back(name);
    mistake = fmt::format("messages[{}] has no {} (it has {})", i, field,
                          names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", ")));
    return nullptr;
  }
  if (found->is_string()) return &found->get_ref<const std::string&>();
  mistake = fmt::format("messages[{}].{} is {}; a text is needed", i, field, kind_of(*found));
  return nullptr;
}

// What is wrong with the role of message i behind a message of the role `before`, empty for none.
std::string role_mistake(const std::string& role, const std::string& before, size_t i) {
  const std::string at = fmt::format("messages[{}]", i);
  if (role == "system") return i == 0 ? "" : at + " is a system message; only the first message may be one";
  if (role != "user" && role != "assistant") {
    return at + fmt::format(" has the role \"{}\"; system, user, assistant are known", role);
  }
  if (role == before) {
    return at + fmt::format(" is a second {} message in a row; user and assistant must alternate", role);
  }
  if (role == "assistant" && before != "user") return at + " is an assistant message; one of the user must precede it";
  return "";
}

void drop_nulls(Json& messages) {
  for (Json& message : messages) {
    for (auto field = message.begin(); field != message.end();) {
      if (field->is_null()) {
        field = message.erase(field);
      } else {
        ++field;
      }
    }
  }
}

// The messages of document i, checked.
Json checked_messages(DocumentSource& source, int64_t i, const std::string& column) {
  Json messages = source.messages(i);
  if (const std::string mistake = conversation_mistake(messages, column); !mistake.empty()) {
    throw FormatError(source.where(i), mistake);
  }
  drop_nulls(messages);
  return messages;
}

Document encoded(const DocumentSource& source, int64_t i, const Json& messages, const TextEncoder& encoder) {
  try {
    return encoder.encode_conversation(messages);
  } catch (const FormatError& e) {
    throw FormatError(source.where(i), e.what());
  }
}

// Conversations that are in memory at a time.
constexpr int64_t kRead = 256;

// A conversation as tokens, or what is wrong with one that is left out.
struct ReadConversation {
  std::optional<Document> document;
  std::string mistake;
};

// Conversations [begin, begin + count).
std::vector<ReadConversation> read_some(DocumentSource& source, int64_t begin, int64_t count,
                                        const TextEncoder& encoder, const ConversationCounting& counting) {
  std::vector<std::optional<Json>> messages(static_cast<size_t>(count));
  std::vector<ReadConversation> out(messages.size());
  const auto try_to = [&](size_t at, const auto& read) {
    if (!counting.skip_bad) return read();
    try {
      read();
    } catch (const FormatError& e) {
      out[at].mistake = e.what();
    }
  };
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    try_to(at, [&] { messages[at] = checked_messages(source, begin + i, counting.column); });
  }
  parallel_for(count, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    if (messages[at]) try_to(at, [&] { out[at].document = encoded(source, begin + i, *messages[at], encoder); });
  });
  return out;
}

// Of the tokens that are learnt those that are no target by their value.
int64_t masked_tokens(const Document& document, const TextEncoder& encoder) {
  int64_t out = 0;
  for (size_t i = 1; i < document.ids.size(); ++i) {
    const bool masked = document.ids[i] == encoder.pad_id || document.ids[i] == encoder.bos_id;
    out += masked && (document.counts.empty() || document.counts[i] == 1) ? 1 : 0;
  }
  return out;
}

}  // namespace

std::string conversation_mistake(const Json& messages, const std::string& column) {
  if (!messages.is_array()) {
    return fmt::format("{} is {}; a list of {{role, content}} is needed", column, kind_of(messages));
  }
  if (messages.empty()) return "the conversation is empty";
  std::string before, mistake;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (!message.is_object()) {
      return fmt::format("messages[{}] is {}; {{role, content}} is needed", i, kind_of(message));
    }
    const std::string* role = text_field(message, "role", i, mistake);
    if (role == nullptr) return mistake;
    mistake = role_mistake(*role, before, i);
    if (!mistake.empty()) return mistake;
    if (text_field(message, "content", i, mistake) == nullptr) return mistake;
    if (const auto calls = message.find("tool_calls"); calls != message.end() && !calls->empty()) {
      return fmt::format("messages[{}] calls tools (tool_calls); such conversations are not trained on", i);
    }
    before = *role;
  }
  if (before == "assistant") return "";
  return fmt::format("the conversation ends with a {} message; nothing would be trained on it", before);
}

Document read_conversation(DocumentSource& source, int64_t i, const std::string& column, const TextEncoder& encoder) {
  return encoded(source, i, checked_messages(source, i, column), encoder);
}

int64_t learnt_tokens(const Document& document) {
  if (document.ids.empty()) return 0;
  if (document.counts.empty()) return static_cast<int64_t>(document.ids.size()) - 1;
  return std::count(document.counts.begin() + 1, document.counts.end(), 1);
}

ConversationCounts count_conversations(DocumentSource& source, const TextEncoder& encoder,
                                       const ConversationCounting& counting) {
  const Waiting waiting("reading all conversations");
  ConversationCounts out;
  out.conversations = source.size();
  out.lengths.resize(static_cast<size_t>(out.conversations));
  for (int64_t begin = 0; begin < out.conversations; begin += kRead) {
    const int64_t count = std::min(kRead, out.conversations - begin);
    std::vector<ReadConversation> some = read_some(source, begin, count, encoder, counting);
    for (size_t i = 0; i < some.size(); ++i) {
      if (!some[i].document) {
        if (++out.unreadable == 1) out.first_unreadable = some[i].mistake;
        continue;
      }
      Document& document = *some[i].document;
      if (document.cut(counting.length)) ++out.cut;
      const int64_t learnt = learnt_tokens(document);
      if (learnt == 0) {
        ++out.unlearnt;
        continue;
      }
      out.learnt += learnt - (counting.mask_by_value ? masked_tokens(document, encoder) : 0);
      out.tokens += static_cast<int64_t>(document.ids.size());
      out.lengths[static_cast<size_t>(begin) + i] = static_cast<int32_t>(document.ids.size());
    }
  }
  return out;
}

double row_filling(const std::vector<int32_t>& lengths, const EpochOrder& order, const PackingOptions& packing) {
  RowPacker packer(packing);
  const std::vector<int32_t> any(static_cast<size_t>(packing.length));
  int64_t rows = 0, tokens = 0;
  for (int64_t i = 0; i < order.size(); ++i) {
    const auto length = static_cast<size_t>(lengths[static_cast<size_t>(order[i])]);
    if (length == 0) continue;
    const std::span<const int32_t> document(any.data(), length);
    if (!packer.place(document)) {
      rows += packer.used_rows();
      packer.clear();
      packer.place(document);
    }
    tokens += static_cast<int64_t>(length);
  }
  rows += packer.used_rows();
  return rows == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(rows * packing.length);
}

}  // namespace fathom
