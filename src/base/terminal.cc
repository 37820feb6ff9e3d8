#include "base/terminal.h"

#include <unistd.h>

#include <cstdio>

namespace fathom {
namespace {

constexpr unsigned char kDelete = 0x7f;

// U+2400 to U+2421 in UTF-8: the pictures of 0x00 to 0x20, and of DEL.
std::string picture(unsigned char control) {
  const int place = control == kDelete ? 0x21 : control;
  return {'\xe2', '\x90', static_cast<char>(0x80 + place)};
}

}  // namespace

std::string harmless_on_terminal(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
      out += "\xef\xbf\xbd";
      ++i;
    } else if ((byte < ' ' && byte != '\n' && byte != '\t') || byte == kDelete) {
      out += picture(byte);
    } else {
      out += text[i];
    }
  }
  return out;
}

void print_untrusted(std::string_view text) {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const std::string shown = terminal ? harmless_on_terminal(text) : std::string(text);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
}

}  // namespace fathom
