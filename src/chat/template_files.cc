#include "chat/template_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "storage/file_store.h"
#include "tokenizer/json_object.h"

namespace fathom {
namespace {

constexpr int64_t kMaxBytes = int64_t{4} << 20;

bool is_file(const std::string& path) { return file_store(path).kind(path) == PathKind::kFile; }

// A text, or a list of {"name", "template"}.
std::vector<TemplateSource> read_key(const std::string& path) {
  std::vector<std::string> keys;
  const nlohmann::json tree = read_json(path, keys);
  const JsonObject config(path, "", tree);
  const nlohmann::json* value = config.find("chat_template");
  if (value == nullptr) return {};
  if (!value->is_array()) return {{"default", config.string("chat_template"), path + ": chat_template"}};
  std::vector<TemplateSource> out;
  for (size_t i = 0; i < value->size(); ++i) {
    const JsonObject entry = config.element("chat_template", i);
    out.push_back({entry.string("name"), entry.string("template"), fmt::format("{}: chat_template[{}]", path, i)});
  }
  return out;
}

}  // namespace

std::vector<TemplateSource> read_template_files(const std::string& folder) {
  std::vector<TemplateSource> out;
  const std::string whole = join_path(folder, "chat_template.jinja");
  if (is_file(whole)) out.push_back({"default", read_whole(whole, kMaxBytes), whole});
  const std::string more = join_path(folder, "additional_chat_templates");
  if (file_store(more).kind(more) == PathKind::kFolder) {
    constexpr std::string_view kEnding = ".jinja";
    for (const FolderEntry& entry : file_store(more).list(more)) {
      if (entry.is_folder || !entry.name.ends_with(kEnding)) continue;
      const std::string path = join_path(more, entry.name);
      out.push_back({entry.name.substr(0, entry.name.size() - kEnding.size()), read_whole(path, kMaxBytes), path});
    }
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::string path = join_path(folder, name);
    if (out.empty() && is_file(path)) out = read_key(path);
  }
  return out;
}

std::vector<TemplateSource> read_template(const std::string& path) {
  std::vector<TemplateSource> out;
  switch (file_store(path).kind(path)) {
    case PathKind::kAbsent:
      throw ConfigError(fmt::format("chat_template_path={}: no such file or folder", path));
    case PathKind::kFolder:
      out = read_template_files(path);
      break;
    case PathKind::kFile:
      if (!path.ends_with(".json")) return {{"default", read_whole(path, kMaxBytes), path}};
      out = read_key(path);
      break;
  }
  if (out.empty()) throw ConfigError(fmt::format("chat_template_path={}: has no chat_template", path));
  return out;
}

}  // namespace fathom
