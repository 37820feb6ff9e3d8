// Check of conversations: chat.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chat/chat_format.h"
#include "eval/checks.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

struct ChatLine {
  std::string where;  // file:line
  Json row, messages;
  ChatOptions options;
};

ChatLine read_line(const std::string& file, int64_t number, std::string_view text) {
  ChatLine line{.where = fmt::format("{}:{}", file, number), .row = Json::parse(text)};
  line.messages = line.row.value("context", Json::array());
  line.options.written = line.messages.size();
  for (const Json& message : line.row.at("messages")) line.messages.push_back(message);
  line.options.add_generation_prompt = line.row.value("add_generation_prompt", false);
  if (line.row.contains("thinking")) line.options.thinking = line.row["thinking"].get<bool>();
  line.options.drop_thinking = line.row.value("drop_thinking", true);
  line.options.begin_of_sentence = line.row.value("add_default_bos_token", true);
  return line;
}

std::vector<ChatLine> read_lines(CheckContext& context, const std::string& file) {
  std::vector<ChatLine> out;
  for_each_reference_line(context.path(file),
                          [&](int64_t number, std::string_view text) { out.push_back(read_line(file, number, text)); });
  if (out.empty()) throw IncompleteReference(context.path(file), "no line");
  return out;
}

// The folder's tokenizer, or that of a folder `tokenizer` beside it or one level up: folders of several formats share
// one. Null when there is none.
std::shared_ptr<const Tokenizer> find_tokenizer(CheckContext& context) {
  for (const char* folder : {"", "../tokenizer", "../../tokenizer"}) {
    if (context.has(std::string(folder) + "/tokenizer.json")) return Tokenizer::load(context.path(folder));
  }
  return nullptr;
}

std::shared_ptr<const ChatFormat> find_format(CheckContext& context) {
  using Without = ChatFormat::WithoutTemplate;
  // Of DeepSeek's releases V3.2 alone has no template, and a folder of conversations has no config.json to say so.
  return ChatFormat::load(context.path(""), context.has("config.json") ? Without::kByModelType : Without::kV32);
}

// V3.2's calls have a mark that is no token of the tokenizers before it: such texts come without ids.
bool may_lack_ids(const ChatLine& line) {
  return line.row["text"].get_ref<const std::string&>().find("｜DSML｜") != std::string::npos;
}

bool is_refusal(const ChatLine& line) { return line.row.value("error", false); }

// What one line of the file compares, all do.
void require_whole(const std::vector<ChatLine>& lines, const std::string& path) {
  for (const char* part : {"text", "ids", "assistant_mask"}) {
    const bool is_text = std::string_view(part) == "text";
    const auto has = [part](const ChatLine& line) { return line.row.contains(part); };
    if (!is_text && std::ranges::none_of(lines, has)) continue;
    for (const ChatLine& line : lines) {
      const bool excused = is_refusal(line) || (!is_text && may_lack_ids(line));
      if (!has(line) && !excused) throw IncompleteReference(path, fmt::format("{}: no {}", line.where, part));
    }
  }
}

// Where two texts part, and how they go on.
std::string difference(const std::string& got, const std::string& want) {
  const auto at = static_cast<size_t>(std::ranges::mismatch(got, want).in1 - got.begin());
  constexpr size_t kShown = 30;
  const auto shown = [at](const std::string& text) {
    return Json(text.substr(at, kShown)).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  return fmt::format("at byte {} {} instead of {}", at, shown(got), shown(want));
}

// 1 from behind the assistant's mark to its end of sentence: on what it says in answer to a user. (What it says after a
// tool's result has no mark in front.)
std::vector<int32_t> assistant_mask(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const auto mark = tokenizer.token_to_id("<｜Assistant｜>"), end = tokenizer.eos_id();
  std::vector<int32_t> out;
  bool says = false;
  for (int32_t id : ids) {
    out.push_back(says ? 1 : 0);
    says = id == mark || (says && id != end);
  }
  return out;
}

void compare_refusal(Comparison& comparison, const ChatFormat& format, const ChatLine& line) {
  try {
    format.text(line.messages, line.options);
    comparison.fail(line.where + ": is written, where the reference refuses it");
  } catch (const FormatError&) {
    comparison.exact({}, {}, line.where);
  }
}

void compare_line(Comparison& comparison, const ChatFormat& format, const Tokenizer* tokenizer, const ChatLine& line) {
  if (is_refusal(line)) return compare_refusal(comparison, format, line);
  const auto want = line.row["text"].get<std::string>();
  std::string got;
  try {
    got = format.text(line.messages, line.options);
  } catch (const FormatError& e) {
    return comparison.fail(fmt::format("{}: {}", line.where, e.what()));
  }
  if (got != want) return comparison.fail(fmt::format("{}: text {}", line.where, difference(got, want)));
  comparison.exact({}, {}, line.where);
  if (tokenizer == nullptr) return;
  const std::vector<int32_t> ids = format.ids(*tokenizer, line.messages, line.options);
  if (line.row.contains("ids")) {
    comparison.exact(ids, line.row["ids"].get<std::vector<int32_t>>(), line.where + " ids");
  }
  if (line.row.contains("assistant_mask")) {
    comparison.exact(assistant_mask(*tokenizer, ids), line.row["assistant_mask"].get<std::vector<int32_t>>(),
                     line.where + " assistant_mask");
  }
}

// tools.jsonl: what stands before and behind the description of tools, and how that begins and ends.
void compare_tools(Comparison& comparison, const ChatFormat& format, const ChatLine& line) {
  const auto part = [&](const char* key) { return line.row.at(key).get<std::string>(); };
  std::string text;
  try {
    text = format.text(line.messages, line.options);
  } catch (const FormatError& e) {
    return comparison.fail(fmt::format("{}: {}", line.where, e.what()));
  }
  const std::string head = part("before") + part("block_begins"), tail = part("block_ends") + part("after");
  if (!text.starts_with(head)) comparison.fail(fmt::format("{}: {}", line.where, difference(text, head)));
  if (!text.ends_with(tail)) comparison.fail(fmt::format("{}: does not end with block_ends and after", line.where));
}

}  // namespace

PreparedCheck prepare_chat(CheckContext& context) {
  const std::string file = "chat.jsonl", tools = "tools.jsonl";
  if (!context.has(file)) return absent("no " + file);
  return [&context, file, tools] {
    const auto format = find_format(context);
    const auto tokenizer = find_tokenizer(context);
    const std::vector<ChatLine> lines = read_lines(context, file);
    require_whole(lines, context.path(file));
    Comparison comparison(0);
    const bool without_ids = tokenizer == nullptr &&
                             std::ranges::any_of(lines, [](const ChatLine& line) { return line.row.contains("ids"); });
    comparison.exact({}, {},
                     fmt::format("{} lines{}", lines.size(), without_ids ? ", ids left aside: no tokenizer" : ""));
    for (const ChatLine& line : lines) compare_line(comparison, *format, tokenizer.get(), line);
    if (context.has(tools)) {
      for_each_reference_line(context.path(tools), [&](int64_t number, std::string_view text) {
        compare_tools(comparison, *format, read_line(tools, number, text));
      });
    }
    return CheckResult{{comparison}, ""};
  };
}

}  // namespace fathom
