// The regular expressions of tokenizer.json: a small backtracking matcher over UTF-8, with the meaning that Oniguruma
// (the reference tokenizers' engine) gives them and the classes of Unicode 16.
//
// Has: literals, escapes (\s \S \d \D \p{..} \P{..} \p{^..} \r \n \t \f \v \e \x41 \x{..} \uHHHH), classes with ranges
// and negation, alternation, groups `(...)` `(?:...)` `(?i:...)`, lookahead `(?=...)` `(?!...)`, `$`, quantifiers
// `? * + {n} {n,} {n,m}` and possessive `?+ *+ ++`. A group may be repeated a limited number of times only, so that the
// depth of the matcher is bounded by the pattern, and a pattern has a limited number of nodes. Anything else is an
// error that names it. Matching has a budget of steps, as Oniguruma has.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/code_point_set.h"

namespace fathom {

// A pattern that is malformed or needs what the matcher does not have.
class RegexError : public Error {
 public:
  explicit RegexError(const std::string& message) : Error(message, kExitUserMistake) {}
};

struct RegexAst;

class Regex {
 public:
  struct Match {
    size_t begin;
    size_t end;
  };

  // Throws RegexError; a pattern that matches the empty text is one, for it splits nothing.
  explicit Regex(std::string_view pattern);

  // Steps that the search of a whole text may take: many times what patterns that cut words need. A step tries one way
  // to go on, or takes one code point of a run.
  static uint64_t budget(std::string_view text) { return 20'000'000 + 500 * static_cast<uint64_t>(text.size()); }
  // The leftmost match that starts at `from` or later; the first alternative that matches wins, as in Perl. `text` is
  // well-formed UTF-8 and `from` at the start of a code point. Takes its steps off `budget`; throws RegexError when
  // there are none left. Thread-safe.
  std::optional<Match> find(std::string_view text, size_t from, uint64_t& budget) const;

 private:
  enum class Kind : uint8_t { kAccept, kSet, kRepeat, kBranch, kLook, kLineEnd };
  // What a match can begin with: bytes, or nothing at all.
  struct First {
    std::bitset<256> bytes;
    bool empty = false;
  };
  // One step; `next` is what follows it. A kBranch tries `inner` and then `next`, both complete continuations.
  struct Node {
    Kind kind = Kind::kAccept;
    bool negated = false;     // kLook
    bool possessive = false;  // kRepeat
    uint32_t set = 0;         // kSet, kRepeat
    uint32_t min = 0;         // kRepeat
    uint32_t max = 0;
    uint32_t inner = 0;  // kLook, kBranch
    uint32_t next = 0;
    First first;
  };

  uint32_t compile(const RegexAst& ast, uint32_t next);
  uint32_t compile_repeat(const RegexAst& ast, uint32_t next);
  uint32_t compile_alternatives(const RegexAst& ast, uint32_t next);
  uint32_t add_node(Node node);
  uint32_t add_set(const CodePointSet& set);
  First first_of(const Node& node) const;
  bool starts(const Node& node, std::string_view text, size_t at) const;
  // A search under way.
  struct Search {
    std::string_view text;
    uint64_t budget;
    void spend(uint64_t steps) {
      if (steps > budget) out_of_steps(text);
      budget -= steps;
    }
  };
  [[noreturn]] static void out_of_steps(std::string_view text);
  size_t match(uint32_t node, Search& search, size_t at) const;
  size_t match_repeat(const Node& node, Search& search, size_t at) const;

  std::vector<Node> nodes_;
  std::vector<CodePointSet> sets_;
  std::vector<CodePointBitmap> bitmaps_;  // of sets_
  std::array<bool, 256> can_start_{};
  uint32_t root_ = 0;
};

}  // namespace fathom
