// Letter cases as Python's strings have them.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>

#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {
namespace {

// Code points first, first + stride, ... last, each `difference` away from its other case.
struct CaseRun {
  uint32_t first, last, stride;
  int32_t difference;
};
// A code point whose other case is several; 0 ends them.
struct LongCase {
  uint32_t code_point, others[3];
};
struct CasedRange {
  uint32_t first, last;
};

#include "chat/case_tables.inc"

struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const LongCase> long_ones;
};
constexpr CaseTable kUpper{kUpperRuns, kUpperLong};
constexpr CaseTable kLower{kLowerRuns, kLowerLong};
constexpr CaseTable kTitle{kTitleRuns, kTitleLong};

void append_case(std::string& out, uint32_t code_point, const CaseTable& table) {
  const auto found = std::ranges::lower_bound(table.long_ones, code_point, {}, &LongCase::code_point);
  if (found != table.long_ones.end() && found->code_point == code_point) {
    for (uint32_t other : found->others) {
      if (other != 0) append_utf8(out, other);
    }
    return;
  }
  // Runs of every other code point may lie within one another: those before the place are few.
  const auto after = std::ranges::upper_bound(table.runs, code_point, {}, &CaseRun::first);
  for (auto run = after; run != table.runs.begin() && after - run < 4;) {
    --run;
    if (code_point > run->last || (code_point - run->first) % run->stride != 0) continue;
    append_utf8(out, static_cast<uint32_t>(static_cast<int32_t>(code_point) + run->difference));
    return;
  }
  append_utf8(out, code_point);
}

bool is_cased(uint32_t code_point) {
  const auto after = std::ranges::upper_bound(kCased, code_point, {}, &CasedRange::first);
  return after != std::begin(kCased) && code_point <= std::prev(after)->last;
}

// A sigma that ends a word has a form of its own.
void append_lower(std::string& out, std::string_view text, size_t at, bool after_letter) {
  constexpr uint32_t kSigma = 0x3a3, kFinalSigma = 0x3c2;
  const uint32_t code_point = decode_utf8(text.data() + at);
  const size_t next = at + utf8_length(text[at]);
  const bool before_letter = next < text.size() && is_cased(decode_utf8(text.data() + next));
  if (code_point == kSigma && after_letter && !before_letter) return append_utf8(out, kFinalSigma);
  append_case(out, code_point, kLower);
}

}  // namespace

std::string upper(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) append_case(out, decode_utf8(&text[i]), kUpper);
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  bool after_letter = false;
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    append_lower(out, text, i, after_letter);
    after_letter = is_cased(decode_utf8(&text[i]));
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  bool after_letter = false;
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    if (i == 0) {
      append_case(out, decode_utf8(text.data()), kTitle);
    } else {
      append_lower(out, text, i, after_letter);
    }
    after_letter = is_cased(decode_utf8(&text[i]));
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool after_letter = false;
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const uint32_t code_point = decode_utf8(&text[i]);
    if (after_letter) {
      append_lower(out, text, i, true);
    } else {
      append_case(out, code_point, kTitle);
    }
    after_letter = is_cased(code_point);
  }
  return out;
}

bool is_upper(std::string_view text) {
  bool any = false;
  for (std::string_view c : characters(text)) {
    if (!is_cased(decode_utf8(c.data()))) continue;
    if (upper(c) != c) return false;
    any = true;
  }
  return any;
}

bool is_lower(std::string_view text) {
  bool any = false;
  for (std::string_view c : characters(text)) {
    if (!is_cased(decode_utf8(c.data()))) continue;
    if (lower(c) != c) return false;
    any = true;
  }
  return any;
}

}  // namespace fathom::jinja
