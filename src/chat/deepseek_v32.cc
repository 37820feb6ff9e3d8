#include "chat/deepseek_v32.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>", kEnd = "<｜end▁of▁sentence｜>";
constexpr std::string_view kUser = "<｜User｜>", kAssistant = "<｜Assistant｜>";
constexpr std::string_view kThink = "<think>", kThought = "</think>";

// The description of all tools, but for the tools: before and after them. The wording is the format's own.
constexpr std::string_view kToolsHead = R"(## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
<｜DSML｜function_calls>
<｜DSML｜invoke name="$FUNCTION_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$FUNCTION_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜function_calls>

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects )"
                                        R"(should use JSON format. The "string" attribute should be set to "true" for )"
                                        R"(string type parameters and "false" for other types (numbers, booleans, )"
                                        R"(arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking )"
                                        R"(block. Here is an example:

<｜DSML｜function_calls>
...
</｜DSML｜function_calls>

<function_results>
...
</function_results>

<think>...thinking about results</think>

Here are the functions available in JSONSchema format:
<functions>
)";
constexpr std::string_view kToolsTail = "</functions>\n";

// A value that is neither absent nor null.
const Json* find(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// Present, and not empty: what Python takes for true.
const Json* find_some(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr) return nullptr;
  const bool nothing = value->is_string()       ? value->get_ref<const std::string&>().empty()
                       : value->is_structured() ? value->empty()
                                                : *value == false || *value == 0;
  return nothing ? nullptr : value;
}

class Writer {
 public:
  Writer(const Json& messages, const ChatOptions& options)
      : messages_(messages), options_(options), thinking_(options.thinking.value_or(false)) {
    for (size_t i = 0; i < messages.size(); ++i) {
      at_ = i;
      if (is_question(role())) last_question_ = static_cast<int64_t>(i);
    }
  }

  std::string run() {
    std::string out;
    if (options_.begin_of_sentence && options_.written == 0) out += kBegin;
    const Json* tools = options_.tools;
    for (at_ = 0; at_ < messages_.size(); ++at_) {
      // In front of a first message that is not the system's its tools have an empty one.
      if (at_ == 0 && tools != nullptr && role() != "system") out += "\n\n" + tools_block(*tools);
      std::string written = is_dropped() ? "" : message();
      if (at_ >= options_.written) out += written;
    }
    return out;
  }

 private:
  static bool is_question(std::string_view role) { return role == "user" || role == "developer"; }

  [[noreturn]] void fail(std::string_view what) const { throw FormatError(fmt::format("message {}", at_ + 1), what); }

  const Json& current() const { return messages_[at_]; }

  std::string role() const {
    const Json* role = find(current(), "role");
    if (role == nullptr || !role->is_string()) fail("has no role");
    return role->get<std::string>();
  }

  // The text under a key; nothing where it is absent or null.
  std::string text(const char* key) const {
    const Json* value = find(current(), key);
    if (value == nullptr) return "";
    if (!value->is_string()) fail(fmt::format("{} must be a text, is {}", key, value->type_name()));
    return value->get<std::string>();
  }

  bool is_last_question() const { return static_cast<int64_t>(at_) == last_question_; }
  bool is_answer() const { return static_cast<int64_t>(at_) > last_question_; }

  bool is_dropped() const {
    return thinking_ && options_.drop_thinking && static_cast<int64_t>(at_) < last_question_ && role() == "developer";
  }

  std::string message() {
    const std::string who = role();
    if (who == "assistant") return assistant();
    if (who == "tool") return result();
    expected_ = results_ = 0;
    if (who == "system") return system();
    if (who == "user") return question(user_text());
    if (who == "developer") return question(developer_text());
    fail(fmt::format("has the role '{}'; there are system, user, developer, assistant and tool", who));
  }

  std::string system() const {
    std::string out = text("content");
    if (at_ == 0 && options_.tools != nullptr) out += "\n\n" + tools_block(*options_.tools);
    return out + extras();
  }

  // Tools and the format of answers that the message itself brings.
  std::string extras() const {
    std::string out;
    if (const Json* tools = find_some(current(), "tools")) out += "\n\n" + tools_block(*tools);
    if (const Json* schema = find_some(current(), "response_format")) {
      out += "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";
      out += python_json(*schema);
    }
    return out;
  }

  std::string tools_block(const Json& tools) const {
    if (!tools.is_array()) fail("tools must be a list");
    std::string out(kToolsHead);
    for (const Json& tool : tools) {
      const Json* function = find(tool, "function");
      if (function == nullptr) fail("a tool without 'function'");
      out += python_json(*function) + "\n";
    }
    return out.append(kToolsTail);
  }

  std::string user_text() const {
    if (find(current(), "content") == nullptr) fail("has no content");
    return text("content");
  }

  std::string developer_text() const {
    if (text("content").empty()) fail("a developer's message must not be empty");
    return extras() + "\n\n# The user's message is: " + text("content");
  }

  std::string question(const std::string& text) const {
    const bool opens = thinking_ && is_last_question();
    return fmt::format("{}{}{}{}", kUser, text, kAssistant, opens ? kThink : kThought);
  }

  std::string assistant() {
    const Json* calls = find_some(current(), "tool_calls");
    if (calls != nullptr && !calls->is_array()) fail("tool_calls must be a list");
    std::string out;
    if (thinking_ && is_answer()) {
      if (text("reasoning_content").empty() && calls == nullptr) {
        fail("an answer in thinking mode needs reasoning_content or tool_calls");
      }
      out = text("reasoning_content").append(kThought);
    }
    out += text("content");
    results_ = 0;
    expected_ = calls == nullptr ? 0 : calls->size();
    if (calls != nullptr) out += calls_block(*calls);
    return out.append(kEnd);
  }

  std::string calls_block(const Json& calls) const {
    std::string out = "\n\n<｜DSML｜function_calls>\n";
    for (const Json& call : calls) {
      const Json* function = find(call, "function");
      const Json* name = function == nullptr ? nullptr : find(*function, "name");
      if (name == nullptr || !name->is_string()) fail("a call without the name of its function");
      out += fmt::format("<｜DSML｜invoke name=\"{}\">\n", name->get<std::string>());
      out += parameters(arguments_of(*function)) + "\n</｜DSML｜invoke>\n";
    }
    return out + "</｜DSML｜function_calls>";
  }

  Json arguments_of(const Json& function) const {
    const Json* given = find(function, "arguments");
    if (given == nullptr || !given->is_string()) fail("a call's arguments must be a text of JSON");
    const auto& source = given->get_ref<const std::string&>();
    if (const auto refusal = json_refusal(source)) fail(fmt::format("arguments of a call: {}", refusal->text));
    Json arguments = Json::parse(source, nullptr, /*allow_exceptions=*/false);
    if (!arguments.is_object()) fail("a call's arguments are no JSON object");
    return arguments;
  }

  static std::string parameters(const Json& arguments) {
    std::string out;
    for (const auto& [key, value] : arguments.items()) {
      if (!out.empty()) out += '\n';
      out += fmt::format("<｜DSML｜parameter name=\"{}\" string=\"{}\">{}</｜DSML｜parameter>", key, value.is_string(),
                         value.is_string() ? value.get<std::string>() : python_json(value));
    }
    return out;
  }

  std::string result() {
    if (results_ >= expected_) fail("a tool's result without a call that it belongs to");
    ++results_;
    std::string out = results_ == 1 ? "\n\n<function_results>" : "";
    out += fmt::format("\n<result>{}</result>", user_text());
    if (results_ == expected_) {
      out += fmt::format("\n</function_results>\n\n{}", thinking_ && is_answer() ? kThink : kThought);
    }
    return out;
  }

  const Json& messages_;
  const ChatOptions& options_;
  const bool thinking_;
  size_t at_ = 0;
  int64_t last_question_ = -1;
  size_t expected_ = 0, results_ = 0;  // of the calls made last
};

}  // namespace

std::string deepseek_v32_text(const Json& messages, const ChatOptions& options) {
  return Writer(messages, options).run();
}

}  // namespace fathom
