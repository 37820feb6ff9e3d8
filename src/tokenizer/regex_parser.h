// Patterns to syntax trees; regex.h says which patterns.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/code_point_set.h"

namespace fathom {

inline constexpr uint32_t kNoLimit = UINT32_MAX;

struct RegexAst {
  enum class Kind : uint8_t { kSet, kSequence, kAlternatives, kRepeat, kLook, kLineEnd };
  Kind kind = Kind::kSequence;
  CodePointSet set;                // kSet: one code point of it
  std::vector<RegexAst> children;  // kSequence (empty: matches the empty text), kAlternatives; one for kRepeat, kLook
  uint32_t min = 0;                // kRepeat
  uint32_t max = 0;                // kRepeat, may be kNoLimit
  bool possessive = false;         // kRepeat
  bool negated = false;            // kLook
};

// Throws RegexError with the place in the pattern, counted in code points from 1.
RegexAst parse_regex(std::string_view pattern);

}  // namespace fathom
