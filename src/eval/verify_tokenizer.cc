// Checks of a tokenizer folder: encode, decode_tokens.
#include <fmt/format.h>

#include <algorithm>

#include "eval/checks.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

// Texts in messages are cut to this many bytes.
constexpr size_t kShown = 40;

std::string shown(std::string text) {
  if (text.size() > kShown) {
    text.resize(kShown);
    text += "...";
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return "'" + text + "'";
}

void compare_text(Comparison& comparison, const std::string& got, const std::string& want, const std::string& where) {
  if (got != want) comparison.fail(fmt::format("{}: {} instead of {}", where, shown(got), shown(want)));
}

// What a line has: ids of its text, text of its ids with and without special tokens.
void compare_line(Comparison& comparison, const Tokenizer& tokenizer, const TokenizerLine& line,
                  const std::string& file) {
  std::string where = fmt::format("{}:{}", file, line.number);
  if (line.text) comparison.exact(tokenizer.encode(*line.text), line.ids, where + " ids");
  if (line.decoded) compare_text(comparison, tokenizer.decode(line.ids), *line.decoded, where + " decoded");
  if (line.decoded_skip_special) {
    compare_text(comparison, tokenizer.decode(line.ids, /*skip_special=*/true), *line.decoded_skip_special,
                 where + " decoded_skip_special");
  }
}

// What one line of a file compares, all do: a line that has less has lost it.
void require_equal_parts(const std::vector<TokenizerLine>& lines, const std::string& path) {
  using Part = std::optional<std::string> TokenizerLine::*;
  constexpr std::pair<Part, const char*> kParts[] = {{&TokenizerLine::text, "text"},
                                                     {&TokenizerLine::decoded, "decoded"},
                                                     {&TokenizerLine::decoded_skip_special, "decoded_skip_special"}};
  bool any = false;
  for (const auto& [part, name] : kParts) {
    const auto has = [part = part](const TokenizerLine& line) { return (line.*part).has_value(); };
    if (std::ranges::none_of(lines, has)) continue;
    any = true;
    const auto without = std::ranges::find_if_not(lines, has);
    if (without != lines.end()) throw IncompleteReference(path, fmt::format("line {}: no {}", without->number, name));
  }
  if (!any) throw IncompleteReference(path, "no line has text, decoded or decoded_skip_special");
}

PreparedCheck tokenizer_check(CheckContext& context, const std::string& file) {
  if (!context.has(file)) return absent("no " + file);
  if (!context.has("tokenizer.json")) return failed(file + " is there, but no tokenizer.json");
  return [&context, file] {
    auto tokenizer = Tokenizer::load(context.path(""));
    std::vector<TokenizerLine> lines = read_tokenizer_lines(context.path(file));
    require_equal_parts(lines, context.path(file));
    Comparison comparison(0);
    comparison.exact({}, {}, fmt::format("{} lines", lines.size()));
    for (const TokenizerLine& line : lines) compare_line(comparison, *tokenizer, line, file);
    return CheckResult{{comparison}, ""};
  };
}

}  // namespace

PreparedCheck prepare_encode(CheckContext& context) { return tokenizer_check(context, "encode.jsonl"); }
PreparedCheck prepare_decode_tokens(CheckContext& context) { return tokenizer_check(context, "decode.jsonl"); }

}  // namespace fathom
