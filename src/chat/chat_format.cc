#include "chat/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "chat/deepseek_v32.h"
#include "chat/template_files.h"
#include "storage/file_store.h"
#include "tokenizer/json_object.h"
#include "tokenizer/tokenizer_folder.h"

namespace fathom {

using Json = nlohmann::ordered_json;

struct ChatFormat::State {
  std::string folder;
  std::map<std::string, std::unique_ptr<const Template>> templates;  // by name; empty: V3.2's format
  TokenizerConfig tokens;

  const Template& choose(bool with_tools) const {
    const auto tool_use = with_tools ? templates.find("tool_use") : templates.end();
    const auto found = tool_use != templates.end() ? tool_use : templates.find("default");
    if (found != templates.end()) return *found->second;
    std::vector<std::string> names;
    for (const auto& [name, one] : templates) names.push_back(name);
    throw ConfigError(
        fmt::format("{} has no conversation template named 'default', only {}; give one with "
                    "chat_template_path",
                    folder, fmt::join(names, ", ")));
  }
};

namespace {

bool is_v32(const std::string& folder) {
  const std::string path = join_path(folder, "config.json");
  if (file_store(path).kind(path) != PathKind::kFile) return false;
  std::vector<std::string> keys;
  const nlohmann::json config = read_json(path, keys);
  const nlohmann::json* type = JsonObject(path, "", config).find("model_type");
  return type != nullptr && *type == "deepseek_v32";
}

void set_token(Json& context, const char* name, const std::optional<std::string>& token) {
  if (token) context[name] = *token;
}

}  // namespace

ChatFormat::ChatFormat(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ChatFormat::~ChatFormat() = default;

std::shared_ptr<const ChatFormat> ChatFormat::load(const std::string& folder, WithoutTemplate without) {
  return load(folder, {}, without);
}

std::shared_ptr<const ChatFormat> ChatFormat::load(const std::string& folder, const GivenTemplate& given,
                                                   WithoutTemplate without) {
  auto state = std::make_unique<State>();
  state->folder = given.path.empty() ? folder : given.path;
  std::vector<TemplateSource> sources = given.path.empty() ? read_template_files(folder) : read_template(given.path);
  if (!given.text.empty()) sources = {{"default", given.text, "chat_template"}};
  for (const TemplateSource& source : sources) {
    state->templates[source.name] = std::make_unique<const Template>(source.source, source.place);
  }
  if (state->templates.empty() && without != WithoutTemplate::kV32 && !is_v32(folder)) {
    throw ConfigError(
        fmt::format("{} has no conversation template (chat_template in tokenizer_config.json, or "
                    "chat_template.jinja); give one with chat_template_path",
                    folder));
  }
  state->tokens = read_tokenizer_folder(folder, {});
  return std::shared_ptr<const ChatFormat>(new ChatFormat(std::move(state)));
}

std::string ChatFormat::text(const Json& messages, const ChatOptions& options) const {
  if (!messages.is_array()) throw ConfigError("a conversation must be a list of messages");
  if (state_->templates.empty()) return deepseek_v32_text(messages, options);
  // transformers passes these whether they are there or not.
  Json context = {{"messages", messages}, {"tools", nullptr}, {"documents", nullptr}};
  if (options.tools != nullptr) context["tools"] = *options.tools;
  context["add_generation_prompt"] = options.add_generation_prompt;
  if (options.thinking) context["thinking"] = *options.thinking;
  set_token(context, "bos_token", state_->tokens.bos_token);
  set_token(context, "eos_token", state_->tokens.eos_token);
  set_token(context, "pad_token", state_->tokens.pad_token);
  set_token(context, "unk_token", state_->tokens.unk_token);
  return state_->choose(options.tools != nullptr).render(context);
}

std::vector<int32_t> ChatFormat::ids(const Tokenizer& tokenizer, const Json& messages,
                                     const ChatOptions& options) const {
  return ids(tokenizer, text(messages, options), options);
}

std::vector<int32_t> ChatFormat::ids(const Tokenizer& tokenizer, const std::string& text,
                                     const ChatOptions& options) const {
  std::vector<int32_t> out = tokenizer.encode(text);
  const std::optional<int32_t> begin = tokenizer.bos_id();
  const bool wanted = begin && options.begin_of_sentence && options.written == 0;
  if (wanted && (out.empty() || out.front() != *begin)) out.insert(out.begin(), *begin);
  return out;
}

}  // namespace fathom
