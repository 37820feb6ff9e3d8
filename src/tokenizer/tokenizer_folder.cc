#include "tokenizer/tokenizer_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "storage/file_store.h"
#include "tokenizer/json_object.h"
#include "tokenizer/tokenizer_file.h"

namespace fathom {

namespace {

using nlohmann::json;

constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

// An object of added_tokens_decoder or of special_tokens_map.json; what it does not say is as in the reference.
AddedToken token_of(const JsonObject& node, bool special) {
  AddedToken token;
  token.content = node.string("content");
  token.special = special || node.boolean("special", false);
  token.lstrip = node.boolean("lstrip", false);
  token.rstrip = node.boolean("rstrip", false);
  token.single_word = node.boolean("single_word", false);
  token.normalized = node.boolean("normalized", !token.special);
  return token;
}

AddedToken special_token(std::string content) { return {.content = std::move(content), .special = true}; }

// A file of the folder that may be absent.
struct OptionalFile {
  OptionalFile(const std::string& folder, const char* name) : path(join_path(folder, name)) {
    if (file_store(path).kind(path) == PathKind::kFile) tree = read_json(path, keys);
  }
  bool present() const { return !tree.is_null(); }
  JsonObject root() const { return JsonObject(path, "", tree); }

  std::string path;
  json tree;
  std::vector<std::string> keys;
};

// The tokens that the files name ("bos_token"), and lists of special tokens without a name.
class Names {
 public:
  // A later file goes before an earlier one.
  void read(const OptionalFile& file, bool map) {
    const JsonObject root = file.root();
    for (const std::string& key : file.keys) {
      const json& value = file.tree[key];
      // Of the two lists of one file that under the newer name counts; a map adds to it, but not under the old name.
      if (key == "extra_special_tokens") read_list(root, key, /*clear=*/!map);
      if (key == "additional_special_tokens" && listed_.empty()) {
        read_list(root, key, false);
        listed_are_special_ = !map;
      }
      if (!key.ends_with("_token") || value.is_boolean()) continue;
      if (value.is_null()) {
        if (map) named_.erase(key);
      } else {
        add(key, value.is_object() ? token_of(root.object(key), map) : special_token(root.string(key)));
      }
    }
  }

  std::optional<std::string> text_of(const char* name) const {
    auto found = named_.find(name);
    return found == named_.end() ? std::nullopt : std::optional(found->second.content);
  }

  // In the order in which they are added: the usual names, those of one model, those without a name.
  std::vector<AddedToken> in_order() const {
    std::vector<AddedToken> out;
    for (const char* name : kNames) {
      if (auto found = named_.find(name); found != named_.end()) out.push_back(found->second);
    }
    for (const std::string& name : order_) {
      const bool usual = std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
      if (auto found = named_.find(name); !usual && found != named_.end()) out.push_back(found->second);
    }
    out.insert(out.end(), listed_.begin(), listed_.end());
    return out;
  }

  // The usual names' tokens have the flags of these.
  void take_flags(const std::unordered_map<std::string, AddedToken>& by_text) {
    for (const char* name : kNames) {
      auto named = named_.find(name);
      if (named == named_.end()) continue;
      if (auto found = by_text.find(named->second.content); found != by_text.end()) named->second = found->second;
    }
  }

  // The texts that make a token of added_tokens.json a special one.
  std::unordered_set<std::string> special_texts() const {
    std::unordered_set<std::string> out;
    for (const char* name : kNames) {
      if (auto text = text_of(name)) out.insert(*text);
    }
    for (const AddedToken& token : listed_) {
      if (listed_are_special_) out.insert(token.content);
    }
    return out;
  }

  std::unordered_set<std::string> named_texts() const {
    std::unordered_set<std::string> out;
    for (const auto& [name, token] : named_) out.insert(token.content);
    return out;
  }

 private:
  void add(const std::string& key, AddedToken token) {
    if (!named_.contains(key)) order_.push_back(key);
    named_[key] = std::move(token);
  }

  void read_list(const JsonObject& root, const std::string& key, bool clear) {
    const json* list = root.find(key);
    if (list == nullptr || list->is_object() || root.array_size(key) == 0) return;
    if (clear) listed_.clear();
    for (size_t i = 0; i < root.array_size(key); ++i) {
      const json& item = (*list)[i];
      listed_.push_back(item.is_string() ? special_token(item.get<std::string>())
                                         : token_of(root.element(key, i), true));
    }
  }

  std::map<std::string, AddedToken> named_;
  std::vector<std::string> order_;  // of the names' coming
  std::vector<AddedToken> listed_;
  // Of a map's list under the old name the reference does not think there.
  bool listed_are_special_ = true;
};

int32_t id_of_key(const JsonObject& node, const std::string& key) {
  int64_t id = -1;
  const char* end = key.data() + key.size();
  const auto [stop, fault] = std::from_chars(key.data(), end, id);
  if (fault != std::errc() || stop != end || !is_token_id(id)) node.fail(key, "is no id of a token");
  return static_cast<int32_t>(id);
}

// Tokens with ids: of one id and of one text the last.
struct TokensWithIds {
  std::map<int32_t, AddedToken> by_id;
  std::unordered_map<std::string, AddedToken> by_text;

  void set(int32_t id, AddedToken token) {
    by_text[token.content] = token;
    by_id[id] = std::move(token);
  }
};

TokensWithIds read_decoder(const OptionalFile& config) {
  TokensWithIds out;
  const JsonObject decoder = config.root().object("added_tokens_decoder");
  for (const auto& [key, value] : config.tree["added_tokens_decoder"].items()) {
    out.set(id_of_key(decoder, key), token_of(decoder.object(key), false));
  }
  return out;
}

// added_tokens.json: {text: id}.
void read_added(const OptionalFile& file, const std::unordered_set<std::string>& special, TokensWithIds& out) {
  const JsonObject root = file.root();
  for (const std::string& text : file.keys) {
    const int64_t id = root.integer(text);
    if (!is_token_id(id)) root.fail(text, "has an id that is none");
    const bool is_special = special.contains(text);
    out.set(static_cast<int32_t>(id), {.content = text, .special = is_special, .normalized = !is_special});
  }
}

// The tokens to add: those with ids in order, then named ones that are not among these or in tokenizer.json. Of two
// that differ in their flags alone the later counts.
std::vector<AddedToken> tokens_to_add(const TokensWithIds& tokens, const Names& names,
                                      const std::vector<AddedToken>& added) {
  std::vector<AddedToken> out;
  std::unordered_set<std::string> known;
  for (const AddedToken& token : added) known.insert(token.content);
  const std::unordered_set<std::string> named = names.named_texts();
  for (const auto& [id, token] : tokens.by_id) {
    known.insert(token.content);
    out.push_back(token);
    out.back().special = token.special || named.contains(token.content);
  }
  for (const AddedToken& token : names.in_order()) {
    if (known.contains(token.content)) continue;
    out.push_back(token);
    out.back().special = true;
  }
  return out;
}

}  // namespace

TokenizerConfig read_tokenizer_folder(const std::string& folder, const std::vector<AddedToken>& added) {
  TokenizerConfig out;
  Names names;
  TokensWithIds tokens;
  const OptionalFile config(folder, "tokenizer_config.json");
  bool has_decoder = false;
  if (config.present()) {
    const JsonObject root = config.root();
    out.add_bos_token = root.boolean("add_bos_token", false);
    out.add_eos_token = root.boolean("add_eos_token", false);
    names.read(config, /*map=*/false);
    has_decoder = root.find("added_tokens_decoder") != nullptr;
  }
  if (has_decoder) {
    tokens = read_decoder(config);
  } else {
    const OptionalFile map(folder, "special_tokens_map.json");
    if (map.present()) names.read(map, /*map=*/true);
    const OptionalFile texts(folder, "added_tokens.json");
    if (texts.present()) read_added(texts, names.special_texts(), tokens);
    for (const AddedToken& token : added) tokens.set(token.id, token);
  }
  out.bos_token = names.text_of("bos_token");
  out.eos_token = names.text_of("eos_token");
  out.pad_token = names.text_of("pad_token");
  out.unk_token = names.text_of("unk_token");
  names.take_flags(tokens.by_text);
  out.added = tokens_to_add(tokens, names, added);
  return out;
}

}  // namespace fathom
