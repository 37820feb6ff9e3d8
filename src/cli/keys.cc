#include "config/keys/keys.h"

#include <fmt/ranges.h>

#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"

namespace fathom {

int run_keys(const CommandLine& line, const Environment&) {
  std::vector<std::string> words = line.words;
  words.insert(words.end(), line.config.begin(), line.config.end());
  std::string text = words.empty() ? keys_markdown() : keys_markdown(words);
  if (text.empty()) {
    std::vector<std::string> near = nearest_keys(words[0]);
    throw ConfigError(fmt::format("keys: no key matches {}{}", fmt::join(words, ", "),
                                  near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", "))));
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace fathom
