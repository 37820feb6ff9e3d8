// Cuts text into the words that byte-pair encoding works on.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"

namespace fathom {

// One step of a pre-tokenizer. Each sees every piece of the steps before it as a text of its own.
struct SplitStep {
  // Puts a space before a piece that does not start with one.
  bool prefix_space = false;
  // Every match becomes a piece, and so does what lies between matches ("Isolated").
  std::optional<Regex> pattern;
};

class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  // Calls take(word) with each non-empty word of the text, from left to right. Thread-safe.
  template <class Take>
  void split(std::string_view text, Take&& take) const {
    if (!text.empty()) split_from(0, text, take);
  }

 private:
  template <class Take>
  void split_from(size_t step, std::string_view text, Take& take) const {
    if (step == steps_.size()) return take(text);
    if (steps_[step].prefix_space && text[0] != ' ') {
      const std::string prefixed = " " + std::string(text);
      return split_pieces(step, prefixed, take);
    }
    split_pieces(step, text, take);
  }

  template <class Take>
  void split_pieces(size_t step, std::string_view text, Take& take) const {
    if (!steps_[step].pattern) return split_from(step + 1, text, take);
    size_t done = 0;
    uint64_t budget = Regex::budget(text);
    while (done < text.size()) {
      const auto match = steps_[step].pattern->find(text, done, budget);
      const size_t begin = match ? match->begin : text.size();
      if (begin > done) split_from(step + 1, text.substr(done, begin - done), take);
      if (!match) break;
      split_from(step + 1, text.substr(begin, match->end - begin), take);
      done = match->end;
    }
  }

  std::vector<SplitStep> steps_;
};

}  // namespace fathom
