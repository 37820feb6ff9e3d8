#include "decode/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "decode/prompt.h"

namespace fathom {
namespace {

// The cache has room for a whole piece behind the last token, because that is how programs write.
GeneratorOptions generator_options(const ConversationOptions& o) {
  return {.prompts = 1,
          .longest = o.length,
          .length = o.length + o.piece,
          .piece = o.piece,
          .continues = true,
          .sampling = o.sampling};
}

nlohmann::ordered_json as_json(const std::vector<ChatMessage>& messages) {
  auto out = nlohmann::ordered_json::array();
  for (const ChatMessage& m : messages) {
    out.push_back({{"role", m.role}, {"content", m.content}});
    if (m.reasoning) out.back()["reasoning_content"] = *m.reasoning;
  }
  return out;
}

}  // namespace

Conversation::Conversation(const Session& session, const Config& config, const StateSpec& spec, State& state,
                           ChatText text, ConversationOptions options)
    : state_(state),
      text_(text),
      options_(std::move(options)),
      vocabulary_(spec.model.vocab),
      generator_(session, config, spec, generator_options(options_)) {
  reset();
}

void Conversation::reset() {
  messages_.clear();
  if (!options_.system.empty()) messages_.push_back({.role = "system", .content = options_.system});
}

std::string Conversation::line() const {
  const nlohmann::ordered_json out = {{"messages", as_json(messages_)}};
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<int32_t> Conversation::history() const {
  const ChatOptions chat{.add_generation_prompt = true, .thinking = options_.thinking};
  std::vector<int32_t> out = text_.format.ids(text_.tokenizer, as_json(messages_), chat);
  for (const int32_t id : out) {
    if (id < vocabulary_) continue;
    throw ConfigError(
        fmt::format("token {} of the tokenizer is outside of the model's vocabulary of {}", id, vocabulary_));
  }
  if (std::cmp_greater_equal(out.size(), options_.length)) {
    throw ConfigError(
        fmt::format("the conversation has {} tokens, and max_target_length={} leaves no room for an answer: /reset "
                    "begins anew; a larger max_target_length at the start makes more room",
                    out.size(), options_.length));
  }
  return out;
}

// What a model thought stands in front of </think>, and templates leave it away in what follows.
void Conversation::remember(const std::string& answer) {
  ChatMessage message{.role = "assistant", .content = answer};
  if (options_.thinking.value_or(false)) {
    constexpr std::string_view kEnd = "</think>";
    const size_t end = answer.find(kEnd);
    message.reasoning = answer.substr(0, end);
    message.content = end == std::string::npos ? "" : answer.substr(end + kEnd.size());
  }
  messages_.push_back(std::move(message));
}

Answer Conversation::ask(const std::string& message, const std::function<void(const std::string&)>& show,
                         const std::function<bool()>& stopped) {
  messages_.push_back({.role = "user", .content = message});
  std::vector<int32_t> ids;
  try {
    ids = history();
  } catch (...) {
    messages_.pop_back();
    throw;
  }
  const std::vector<int32_t> before = std::exchange(cached_, {});  // nothing counts where the run ends by an error
  const auto common = std::ranges::mismatch(before, ids).in2 - ids.begin();
  // The last token is read again, for what follows it.
  const int64_t kept = std::min<int64_t>(common, std::ssize(ids) - 1);
  const Prompt prompt{.ids = ids, .most = options_.length - std::ssize(ids)};

  Answer answer{.text = {}, .end = Answer::End::kSaid, .kept = kept, .read = std::ssize(ids) - kept, .made = 0};
  TextStream stream(text_.tokenizer);
  auto take = [&](const std::string& more) {
    answer.text += more;
    if (!more.empty()) show(more);
  };
  bool interrupted = false;
  Generator::Run run{.eos = text_.tokenizer.eos_id().value_or(-1), .first_prompt = turn_};
  run.kept = kept;
  run.on_token = [&](size_t, int32_t token) { take(stream.add(token)); };
  run.stopped = [&] { return interrupted = stopped(); };
  std::vector<int32_t> made = generator_.run(state_, std::span(&prompt, 1), run).at(0);
  take(stream.end());
  answer.made = std::ssize(made);
  if (generator_.prompts_read() < std::ssize(ids)) {
    answer.end = Answer::End::kUnread;
    answer.read = generator_.prompts_read() - kept;
    ids.resize(static_cast<size_t>(generator_.prompts_read()));
    cached_ = std::move(ids);
    messages_.pop_back();
    return answer;
  }
  if (interrupted) {
    answer.end = Answer::End::kInterrupted;
  } else if (answer.made == prompt.most) {
    answer.end = Answer::End::kNoRoom;
  }
  // The last token has been through the model only where another one, the end of sentence, came behind it.
  if (answer.end != Answer::End::kSaid && !made.empty()) made.pop_back();
  cached_ = std::move(ids);
  cached_.insert(cached_.end(), made.begin(), made.end());
  remember(answer.text);
  ++turn_;
  return answer;
}

}  // namespace fathom
