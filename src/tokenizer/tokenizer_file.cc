#include "tokenizer/tokenizer_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json_text.h"
#include "base/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/json_object.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace fathom {

namespace {

using nlohmann::json;

constexpr int64_t kMaxTokenizerBytes = int64_t{1} << 30;
constexpr int64_t kMaxId = (1 << 24) - 1;

// GPT-2's pattern, which ByteLevel applies with "use_regex".
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool is_id(const json& value) {
  // A number above 2^63 is kept unsigned, and would be negative as an int64.
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= static_cast<uint64_t>(kMaxId);
  return value.is_number_integer() && is_token_id(value.get<int64_t>());
}

std::string not_an_id(const json& value) {
  return fmt::format("must be an id from 0 to {}, is {}", kMaxId, value.is_discarded() ? "none" : value.dump());
}

// Parses the file but keeps the vocabulary and the merges, which are nearly all of it, out of the JSON tree.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  json parse(const std::string& text) {
    if (const size_t deep = find_deep_json(text); deep != std::string::npos) {
      throw FormatError(path_, static_cast<int64_t>(deep), kDeepJson);
    }
    auto callback = [this](int depth, json::parse_event_t event, json& value) { return keep(depth, event, value); };
    try {
      return json::parse(text, callback);
    } catch (const json::exception& error) {
      throw_json_mistake(path_, error);
    }
  }

  TokenTable take_vocab() { return std::move(vocab_); }

  // The merges with the ids of their tokens.
  std::vector<BpeMerge> merges(const TokenTable& vocab) const {
    std::vector<BpeMerge> out;
    out.reserve(left_.size());
    std::string joined;
    for (size_t i = 0; i < left_.size(); ++i) {
      joined = left_[i];
      joined += right_[i];
      out.push_back({merge_token(vocab, i, left_[i]), merge_token(vocab, i, right_[i]), merge_token(vocab, i, joined)});
    }
    return out;
  }

 private:
  // Depth 1: keys of the file; 2: keys of "model"; 3: entries of the vocabulary and merges; 4: the two tokens of a
  // merge.
  bool keep(int depth, json::parse_event_t event, json& value) {
    using Event = json::parse_event_t;
    if (depth == 1 && event == Event::key) in_model_ = value == "model";
    if (depth == 2 && event == Event::key) {
      in_vocab_ = in_model_ && value == "vocab";
      in_merges_ = in_model_ && value == "merges";
    }
    if (!in_model_ || depth < 3 || !(in_vocab_ || in_merges_)) return true;
    if (in_vocab_) return keep_vocab(event, value);
    return keep_merge(depth, event, value);
  }

  bool keep_vocab(json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key) {
      token_ = value.get<std::string>();
      return false;
    }
    auto fail = [&](const std::string& what) {
      throw FormatError(path_, fmt::format("model.vocab['{}'] {}", token_, what));
    };
    if (event != json::parse_event_t::value || !is_id(value)) fail(not_an_id(value));
    vocab_.assign(token_, value.get<int32_t>());
    return true;
  }

  bool keep_merge(int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::array_start && depth == 3) {
      pair_.clear();
      return true;
    }
    if (event == json::parse_event_t::array_end && depth == 3) {
      if (pair_.size() != 2) bad_merge();
      add_merge(pair_[0], pair_[1]);
    } else if (event == json::parse_event_t::value && value.is_string() && depth == 4) {
      pair_.push_back(value.get<std::string>());
    } else if (event == json::parse_event_t::value && value.is_string() && depth == 3) {
      const auto& text = value.get_ref<const std::string&>();
      if (text.starts_with("#version")) return false;  // the first line of a merges.txt
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) bad_merge();
      add_merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
    } else {
      bad_merge();
    }
    return false;
  }

  void add_merge(std::string_view left, std::string_view right) {
    left_.add(left);
    right_.add(right);
  }

  [[noreturn]] void bad_merge() const {
    throw FormatError(path_, fmt::format("model.merges[{}] must be \"a b\" or [\"a\", \"b\"]", left_.size()));
  }

  int32_t merge_token(const TokenTable& vocab, size_t merge, std::string_view token) const {
    const auto id = vocab.find(token);
    if (!id) throw FormatError(path_, fmt::format("model.merges[{}]: model.vocab has no token '{}'", merge, token));
    return *id;
  }

  const std::string& path_;
  bool in_model_ = false;
  bool in_vocab_ = false;
  bool in_merges_ = false;
  std::string token_;              // key of the vocabulary that was read last
  std::vector<std::string> pair_;  // of the merge that is being read
  TokenTable vocab_;
  StringPool left_;
  StringPool right_;
};

void check_model(const JsonObject& model) {
  if (model.find("type") != nullptr && model.string("type") != "BPE") {
    model.fail("type", fmt::format("is '{}'; only byte-level BPE is supported", model.string("type")));
  }
  if (model.find("vocab") == nullptr || !model.find("vocab")->is_object()) model.fail("vocab", "must be an object");
  if (model.find("merges") == nullptr || !model.find("merges")->is_array()) model.fail("merges", "must be an array");
  const json* dropout = model.find("dropout");
  if (dropout != nullptr && *dropout != 0) model.fail("dropout", "is not supported: encoding would be random");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (model.find(key) != nullptr && !model.string(key).empty()) model.fail(key, "is not supported by byte-level BPE");
  }
}

void check_normalizer(const JsonObject& normalizer) {
  const std::string type = normalizer.string("type");
  if (type != "Sequence") normalizer.fail("type", fmt::format("is '{}'; no normalizer is supported", type));
  for (size_t i = 0; i < normalizer.array_size("normalizers"); ++i) {
    check_normalizer(normalizer.element("normalizers", i));
  }
}

void check_decoder(const JsonObject& decoder) {
  const std::string type = decoder.string("type");
  if (type == "Sequence" && decoder.array_size("decoders") == 1) return check_decoder(decoder.element("decoders", 0));
  if (type != "ByteLevel") decoder.fail("type", fmt::format("is '{}'; only ByteLevel is supported", type));
}

// Builds the steps of the pre-tokenizer in file order.
class StepBuilder {
 public:
  void add(const JsonObject& node) {
    constexpr size_t kMaxSteps = 100;  // each is a level of the walk over a text's pieces
    const std::string type = node.string("type");
    if (steps_.size() == kMaxSteps) node.fail("", fmt::format("is one step more than the {} that are read", kMaxSteps));
    if (done_) node.fail("type", fmt::format("is '{}' after ByteLevel, which must be the last step", type));
    if (type == "Sequence") {
      for (size_t i = 0; i < node.array_size("pretokenizers"); ++i) add(node.element("pretokenizers", i));
    } else if (type == "Split") {
      add_split(node);
    } else if (type == "Digits") {
      steps_.push_back({.pattern = Regex(node.boolean("individual_digits", false) ? "\\p{N}" : "\\p{N}+")});
    } else if (type == "ByteLevel") {
      SplitStep step{.prefix_space = node.boolean("add_prefix_space", true)};
      if (node.boolean("use_regex", true)) step.pattern.emplace(kByteLevelPattern);
      if (step.prefix_space || step.pattern) steps_.push_back(std::move(step));
      done_ = true;
    } else {
      node.fail("type", fmt::format("is '{}'; only Sequence, Split, Digits and ByteLevel are supported", type));
    }
  }

  bool done() const { return done_; }
  std::vector<SplitStep> take() { return std::move(steps_); }

 private:
  void add_split(const JsonObject& node) {
    // With "invert" matches and gaps change places, which isolating both does not notice.
    const std::string behavior = node.string("behavior");
    if (behavior != "Isolated") {
      node.fail("behavior", fmt::format("is '{}'; only Isolated is supported", behavior));
    }
    const JsonObject pattern = node.object("pattern");
    const bool literal = pattern.find("Regex") == nullptr;
    const char* key = literal ? "String" : "Regex";
    const std::string text = literal ? quoted(pattern.string(key)) : pattern.string(key);
    try {
      steps_.push_back({.pattern = Regex(text)});
    } catch (const RegexError& error) {
      pattern.fail(key, std::string("cannot be used: ") + error.what());
    }
  }

  // A pattern that matches just this text.
  static std::string quoted(const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
      out += fmt::format("\\x{{{:x}}}", decode_utf8(text.data() + i));
    }
    return out;
  }

  std::vector<SplitStep> steps_;
  bool done_ = false;
};

AddedToken read_added_token(const JsonObject& node) {
  AddedToken token;
  const json* id = node.find("id");
  if (id == nullptr) node.fail("id", "is missing");
  if (!is_id(*id)) node.fail("id", not_an_id(*id));
  token.id = id->get<int32_t>();
  token.content = node.string("content");
  token.special = node.boolean("special", false);
  token.lstrip = node.boolean("lstrip", false);
  token.rstrip = node.boolean("rstrip", false);
  token.single_word = node.boolean("single_word", false);
  token.normalized = node.boolean("normalized", !token.special);
  return token;
}

// The token of each byte; those that occur in UTF-8 must have one.
std::array<int32_t, 256> find_byte_ids(const std::string& path, const TokenTable& vocab) {
  std::array<int32_t, 256> ids{};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = byte_to_text(static_cast<uint8_t>(byte));
    const bool never_in_utf8 = byte == 0xc0 || byte == 0xc1 || byte >= 0xf5;
    const auto id = vocab.find(token);
    if (!id && !never_in_utf8) {
      throw FormatError(path, fmt::format("model.vocab has no token '{}' for the byte 0x{:02x}", token, byte));
    }
    ids[byte] = id.value_or(-1);
  }
  return ids;
}

}  // namespace

bool is_token_id(int64_t id) { return id >= 0 && id <= kMaxId; }

TokenizerFile read_tokenizer_file(const std::string& path) {
  Reader reader(path);
  const json tree = reader.parse(read_whole(path, kMaxTokenizerBytes));
  const JsonObject root(path, "", tree);
  const JsonObject model = root.object("model");
  check_model(model);
  if (root.find("normalizer") != nullptr) check_normalizer(root.object("normalizer"));
  check_decoder(root.object("decoder"));
  StepBuilder steps;
  steps.add(root.object("pre_tokenizer"));
  if (!steps.done()) throw FormatError(path, "pre_tokenizer has no ByteLevel; only byte-level BPE is supported");

  TokenizerFile file;
  file.vocab = reader.take_vocab();
  file.merges = reader.merges(file.vocab);
  file.byte_ids = find_byte_ids(path, file.vocab);
  for (size_t i = 0; i < root.array_size("added_tokens"); ++i) {
    file.added.push_back(read_added_token(root.element("added_tokens", i)));
  }
  file.steps = steps.take();
  file.ignore_merges = model.boolean("ignore_merges", false);
  return file;
}

}  // namespace fathom
