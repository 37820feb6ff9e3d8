#include "decode/prompt.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace fathom {
namespace {

// Whether the text ends in the first bytes of a character of UTF-8.
bool ends_within_character(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if (byte < 0x80) return false;
    if (byte < 0xc0) continue;  // not a first byte
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return back < length;
  }
  return false;
}

}  // namespace

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const Config& config, std::string_view source,
                                const std::string& prompt) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  const std::optional<int32_t> bos = tokenizer.bos_id();
  if (config.add_bos && bos && (ids.empty() || ids[0] != *bos)) ids.insert(ids.begin(), *bos);
  if (ids.empty()) throw ConfigError(fmt::format("{}: there is no token to go on from; give a text", source));
  return ids;
}

std::string TextStream::add(int32_t token) {
  if (tokenizer_.is_special(token)) return "";
  held_.push_back(token);
  bytes_ += tokenizer_.token_bytes(token);
  return ends_within_character(bytes_) ? "" : end();
}

std::string TextStream::end() {
  bytes_.clear();
  return tokenizer_.decode(std::exchange(held_, {}), true);
}

}  // namespace fathom
