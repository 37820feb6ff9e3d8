#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/utf8.h"
#include "storage/file_store.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/added_vocabulary.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_table.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/tokenizer_folder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/word_cache.h"

namespace fathom {

namespace {

// What one call of encode works with; kept for later calls.
struct Scratch {
  WordCache cache;
  std::vector<AddedTokenFinder::Segment> outer;
  std::vector<AddedTokenFinder::Segment> inner;
};

// As many as there have been calls at the same time.
class ScratchPool {
 public:
  std::unique_ptr<Scratch> take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(idle_.back());
    idle_.pop_back();
    return scratch;
  }
  void give(std::unique_ptr<Scratch> scratch) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> idle_;
};

// A text is compared with the whole of a token at every place.
void check_lengths(const std::string& path, const std::vector<AddedToken>& tokens) {
  constexpr size_t kMost = 1024;  // bytes
  for (const AddedToken& token : tokens) {
    if (token.content.size() <= kMost) continue;
    throw FormatError(path, fmt::format("the added token '{}...' is {} bytes long; {} are the most",
                                        token.content.substr(0, 20), token.content.size(), kMost));
  }
}

// The added tokens of all files with their ids, which may not be those of the files.
std::vector<AddedToken> number_added_tokens(const std::string& path, const TokenizerFile& file,
                                            const TokenizerConfig& config) {
  check_lengths(path, file.added);
  check_lengths(path, config.added);
  AddedVocabulary added(file.vocab);
  const std::vector<int32_t> ids = added.add(file.added);
  for (size_t i = 0; i < ids.size(); ++i) {
    const AddedToken& token = file.added[i];
    if (ids[i] == token.id || ids[i] < 0) continue;
    log_once(LogLevel::kWarning, fmt::format("{}: the added token '{}' has the id {} there and {} here, as the "
                                             "reference library numbers it",
                                             path, token.content, token.id, ids[i]));
  }
  std::vector<bool> known;
  for (const AddedToken& token : config.added) known.push_back(added.has(token.content));
  const std::vector<int32_t> more = added.add(config.added);
  std::vector<std::string> fresh;
  for (size_t i = 0; i < more.size(); ++i) {
    if (!known[i]) fresh.push_back(fmt::format("'{}' as {}", config.added[i].content, more[i]));
  }
  if (!fresh.empty()) {
    constexpr size_t kListed = 4;
    log_once(LogLevel::kInfo, fmt::format("{}: the files beside it add tokens: {}", path, listed(fresh, kListed)));
  }
  return added.take();
}

std::vector<AddedToken> tokens_where(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> out;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) out.push_back(token);
  }
  return out;
}

}  // namespace

struct Tokenizer::State {
  explicit State(TokenizerFile file);

  void encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, std::vector<int32_t>& out) const;
  std::optional<int32_t> id_of(std::string_view token) const;
  bool has(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < texts.size(); }

  TokenTable vocab;
  TokenTable added;
  AddedTokenFinder raw_finder;         // tokens that are looked for first
  AddedTokenFinder normalized_finder;  // those looked for in what is left
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  bool ignore_merges;
  std::string path;                     // of tokenizer.json
  std::vector<std::string_view> texts;  // [vocab_size], into `vocab` or `added`
  StringPool bytes;                     // [vocab_size]
  std::vector<bool> special;            // [vocab_size]
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::optional<int32_t> pad_id;
  std::optional<int32_t> unk_id;
  TokenizerConfig config;
  mutable ScratchPool scratches;
};

Tokenizer::State::State(TokenizerFile file)
    : vocab(std::move(file.vocab)),
      raw_finder(tokens_where(file.added, false)),
      normalized_finder(tokens_where(file.added, true)),
      pre_tokenizer(std::move(file.steps)),
      bpe(file.byte_ids, file.merges),
      ignore_merges(file.ignore_merges) {
  for (const AddedToken& token : file.added) added.insert(token.content, token.id);
  int32_t largest = -1;
  for (const TokenTable* table : {&vocab, &added}) {
    for (size_t i = 0; i < table->size(); ++i) largest = std::max(largest, table->id(i));
  }
  texts.resize(largest + 1);
  special.resize(largest + 1);
  for (const TokenTable* table : {&vocab, &added}) {
    for (size_t i = 0; i < table->size(); ++i) texts[table->id(i)] = table->token(i);
  }
  for (const AddedToken& token : file.added) special[token.id] = token.special;
  // An added token too stands for bytes when all its characters do, as in the reference tokenizers.
  for (std::string_view text : texts) {
    const auto token = token_to_bytes(text);
    bytes.add(token ? std::string_view(*token) : text);
  }
}

void Tokenizer::State::encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  auto slow = [this](std::string_view word, std::vector<int32_t>& out) { encode_word(word, out); };
  auto take_word = [&](std::string_view word) { scratch.cache.encode(word, ids, slow); };
  scratch.outer.clear();
  raw_finder.split(text, scratch.outer);
  for (const auto& outer : scratch.outer) {
    if (outer.id >= 0) {
      ids.push_back(outer.id);
      continue;
    }
    scratch.inner.clear();
    normalized_finder.split(outer.text, scratch.inner);
    for (const auto& inner : scratch.inner) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
      } else {
        pre_tokenizer.split(inner.text, take_word);
      }
    }
  }
}

std::optional<int32_t> Tokenizer::State::id_of(std::string_view token) const {
  const auto id = added.find(token);
  return id ? id : vocab.find(token);
}

void Tokenizer::State::encode_word(std::string_view word, std::vector<int32_t>& out) const {
  if (ignore_merges) {
    std::string token;
    for (const char byte : word) append_utf8(token, byte_to_character(static_cast<uint8_t>(byte)));
    if (const auto id = vocab.find(token)) return out.push_back(*id);
  }
  bpe.encode(word, out);
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& folder_or_file) {
  const FileStore& store = file_store(folder_or_file);
  std::string path = folder_or_file;
  if (store.kind(path) == PathKind::kFolder) path = join_path(path, "tokenizer.json");
  if (store.kind(path) != PathKind::kFile) {
    throw ConfigError(fmt::format("no tokenizer at {}: give a folder that holds tokenizer.json", path));
  }
  TokenizerFile file = read_tokenizer_file(path);
  TokenizerConfig config = read_tokenizer_folder(std::filesystem::path(path).parent_path().string(), file.added);
  file.added = number_added_tokens(path, file, config);
  auto state = std::make_unique<State>(std::move(file));
  state->path = path;
  state->config = std::move(config);
  // Every token that is named has been added.
  auto id_of = [&](const std::optional<std::string>& token) {
    return token ? state->id_of(*token) : std::optional<int32_t>();
  };
  state->bos_id = id_of(state->config.bos_token);
  state->eos_id = id_of(state->config.eos_token);
  state->pad_id = id_of(state->config.pad_token);
  state->unk_id = id_of(state->config.unk_token);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) throw ConfigError(fmt::format("the text to encode is not UTF-8 at byte {}", bad));
  return encode_utf8(text);
}

std::vector<int32_t> Tokenizer::encode_utf8(std::string_view text) const {
  // Longer words could not be indexed by 32 bits.
  if (text.size() > UINT32_MAX) throw ConfigError(fmt::format("a text of {} bytes is too long to encode", text.size()));
  auto scratch = state_->scratches.take();
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  try {
    state_->encode(text, *scratch, ids);
  } catch (const RegexError& e) {
    throw FormatError(state_->path, fmt::format("a pattern of pre_tokenizer {}", e.what()));
  }
  state_->scratches.give(std::move(scratch));
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (state_->has(id) && !(skip_special && state_->special[id])) bytes += state_->bytes[id];
  }
  return to_utf8_lossy(bytes);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const { return state_->id_of(token); }

std::string_view Tokenizer::id_to_token(int32_t id) const {
  return state_->has(id) ? state_->texts[id] : std::string_view();
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  return state_->has(id) ? state_->bytes[id] : std::string_view();
}

bool Tokenizer::is_special(int32_t id) const { return state_->has(id) && state_->special[id]; }
int Tokenizer::vocab_size() const { return static_cast<int>(state_->texts.size()); }
std::optional<int32_t> Tokenizer::bos_id() const { return state_->bos_id; }
std::optional<int32_t> Tokenizer::eos_id() const { return state_->eos_id; }
std::optional<int32_t> Tokenizer::pad_id() const { return state_->pad_id; }
std::optional<int32_t> Tokenizer::unk_id() const { return state_->unk_id; }
bool Tokenizer::adds_bos() const { return state_->config.add_bos_token; }
bool Tokenizer::adds_eos() const { return state_->config.add_eos_token; }

}  // namespace fathom
