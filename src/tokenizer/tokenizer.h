// Text to token ids and back: byte-level BPE as tokenizer.json of the DeepSeek family describes it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Immutable; every function may be called from several threads at once.
class Tokenizer {
 public:
  // Reads tokenizer.json of a folder (or that file) and, where they are there, tokenizer_config.json,
  // special_tokens_map.json and added_tokens.json beside it. Throws ConfigError when there is no tokenizer.json,
  // FormatError that names file and key when one of them is wrong or needs what is not supported.
  static std::shared_ptr<const Tokenizer> load(const std::string& folder_or_file);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of the text; added tokens inside it become their ids, nothing is put before or after it. Throws ConfigError
  // with the offset where the text is not UTF-8.
  std::vector<int32_t> encode(std::string_view text) const;
  // The same of a text that has been found to be UTF-8.
  std::vector<int32_t> encode_utf8(std::string_view text) const;
  // Text of the ids. Broken UTF-8 becomes U+FFFD, one for each maximal invalid part. `skip_special` drops tokens with
  // "special": true. Ids without a token (a model's vocabulary may be larger) stand for nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // Id of a token as it is written in the file: bytes as printable characters.
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The reverse; empty for an id without a token.
  std::string_view id_to_token(int32_t id) const;
  // The bytes that a token adds to a text; empty for an id without a token.
  std::string_view token_bytes(int32_t id) const;
  bool is_special(int32_t id) const;
  // Largest id + 1.
  int vocab_size() const;

  // As the files beside tokenizer.json name them; nothing where they name none.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  std::optional<int32_t> unk_id() const;
  // Whether a begin-of-sentence before, an end-of-sentence after a text is the habit of this tokenizer. encode adds
  // neither.
  bool adds_bos() const;
  bool adds_eos() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fathom
