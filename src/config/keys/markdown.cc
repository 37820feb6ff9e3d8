#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "config/keys/typed_value.h"

namespace fathom {

namespace {

std::string_view class_name(KeyClass key_class) {
  switch (key_class) {
    case KeyClass::kBuilt:
      return "built";
    case KeyClass::kIgnored:
      return "ignored";
    case KeyClass::kRefused:
      return "refused";
  }
  return "";
}

std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

// Long defaults (the sharding table) are told by their length.
std::string default_cell(const KeyRow& row) {
  if (row.default_text.empty()) return "";
  if (row.default_text.size() <= 60) return fmt::format("`{}`", cell(row.default_text));
  RawValue value = parse_yaml(std::string(row.default_text), std::string(row.name));
  return fmt::format("{} entries", value.items.size());
}

constexpr std::string_view kHead = "| key | type | default | class | |\n|---|---|---|---|---|\n";

// "int, at least 1 and at most 1024".
std::string type_cell(const KeyRow& row) {
  std::string range = row.range.text();
  return range.empty() ? type_text(row) : fmt::format("{}, {}", type_text(row), range);
}

std::string line(const KeyRow& row) {
  return fmt::format("| {} | {} | {} | {} | {} |\n", row.name, cell(type_cell(row)), default_cell(row),
                     class_name(row.key_class), cell(row.help));
}

bool holds(std::string_view text, std::string_view word) {
  auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

}  // namespace

std::string keys_markdown(std::span<const std::string> words) {
  std::vector<std::string> called;
  for (const std::string& word : words) {
    for (std::string& key : keys_called(word)) called.push_back(std::move(key));
  }
  std::string out;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      bool wanted = std::find(called.begin(), called.end(), row.name) != called.end() ||
                    std::any_of(words.begin(), words.end(),
                                [&](const auto& word) { return holds(row.name, word) || holds(row.help, word); });
      if (wanted) out += line(row);
    }
  }
  return out.empty() ? out : std::string(kHead) + out;
}

std::string keys_markdown() {
  size_t total = 0;
  size_t built = 0;
  for (const KeyGroup& group : key_groups()) {
    total += group.rows.size();
    built += static_cast<size_t>(std::count_if(group.rows.begin(), group.rows.end(),
                                               [](const KeyRow& row) { return row.key_class == KeyClass::kBuilt; }));
  }
  std::string out = fmt::format(
      "# Keys\n\n"
      "Every configuration key: its type, its default and what it does here. `fathom keys` prints this page,\n"
      "`fathom keys WORD` the rows that match. {} keys, {} of them built: fathom's own and those of MaxText over its\n"
      "revisions, which the rows call the peer.\n\n"
      "- **built**: does what its line says.\n"
      "- **ignored**: has no effect on results or layout here; accepted, with one line in the log when it is set.\n"
      "- **refused**: would change results and is not built; any value but the default is an error.\n",
      total, built);
  for (const KeyGroup& group : key_groups()) {
    out += fmt::format("\n## {}\n\n{}", group.title, kHead);
    for (const KeyRow& row : group.rows) out += line(row);
  }
  return out;
}

}  // namespace fathom
