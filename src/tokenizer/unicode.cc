#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "base/utf8.h"

namespace fathom {

namespace {

#include "tokenizer/unicode_tables.inc"

// General categories by the numbers that unicode_tables.inc has for them.
constexpr std::array<std::string_view, 30> kCategoryNames = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

CodePointSet category_or_die(std::string_view name) { return *category_set(name); }

// Length of the longest prefix of `bytes` that begins some well-formed sequence, at least 1 (Unicode 16, table 3-7).
// `bytes` does not begin with a whole well-formed sequence.
size_t maximal_invalid_part(std::string_view bytes) {
  auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0xc2 || lead > 0xf4) return 1;
  const size_t length = utf8_length(bytes[0]);
  for (size_t i = 1; i < length; ++i) {
    // The second byte's range is narrower after these leads (overlong forms, surrogates, above U+10FFFF).
    unsigned char low = i == 1 && lead == 0xe0 ? 0xa0 : i == 1 && lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = i == 1 && lead == 0xed ? 0x9f : i == 1 && lead == 0xf4 ? 0x8f : 0xbf;
    if (i == bytes.size() || at(i) < low || at(i) > high) return i;
  }
  return length;
}

}  // namespace

std::optional<CodePointSet> category_set(std::string_view name) {
  bool known = false;
  std::array<bool, kCategoryNames.size()> wanted{};
  for (size_t i = 0; i < kCategoryNames.size(); ++i) {
    wanted[i] = kCategoryNames[i] == name || (name.size() == 1 && kCategoryNames[i][0] == name[0]);
    known = known || wanted[i];
  }
  if (!known) return std::nullopt;
  std::vector<CodePointSet::Range> ranges;
  for (size_t i = 0; i < std::size(kCategoryRuns); ++i) {
    if (!wanted[kCategoryRuns[i] & 31]) continue;
    const uint32_t next = i + 1 < std::size(kCategoryRuns) ? kCategoryRuns[i + 1] >> 5 : kMaxCodePoint + 1;
    ranges.push_back({kCategoryRuns[i] >> 5, next - 1});
  }
  return CodePointSet(std::move(ranges));
}

const CodePointSet& white_space_set() {
  // PropList.txt, White_Space; unchanged since Unicode 6.3.
  static const CodePointSet kSet({{0x09, 0x0d},
                                  {0x20, 0x20},
                                  {0x85, 0x85},
                                  {0xa0, 0xa0},
                                  {0x1680, 0x1680},
                                  {0x2000, 0x200a},
                                  {0x2028, 0x2029},
                                  {0x202f, 0x202f},
                                  {0x205f, 0x205f},
                                  {0x3000, 0x3000}});
  return kSet;
}

const CodePointSet& word_set() {
  static const CodePointSet kSet = [] {
    CodePointSet set;
    for (std::string_view name : {"L", "M", "Nd", "Nl", "Pc"}) set.add(category_or_die(name));
    set.add(0x200c, 0x200d);  // Join_Control
    // The only symbols with Other_Alphabetic: circled and squared letters (PropList.txt).
    set.add(0x24b6, 0x24e9);
    set.add(0x1f130, 0x1f149);
    set.add(0x1f150, 0x1f169);
    set.add(0x1f170, 0x1f189);
    return set;
  }();
  return kSet;
}

void append_utf8(std::string& out, uint32_t code_point) {
  auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

std::string to_utf8_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (;;) {
    const size_t bad = find_invalid_utf8(bytes);
    out.append(bytes.substr(0, bad));
    if (bad == std::string_view::npos) return out;
    append_utf8(out, 0xfffd);
    bytes.remove_prefix(bad + maximal_invalid_part(bytes.substr(bad)));
  }
}

}  // namespace fathom
