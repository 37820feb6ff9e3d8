// Text that others made, on its way to a terminal.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// The text, UTF-8, without what a terminal would obey: each control character but line feed and tabulator becomes the
// sign that stands for it, U+241B for ESC, U+2421 for DEL, U+FFFD for those from U+0080 to U+009F.
std::string harmless_on_terminal(std::string_view text);

// Writes text that a model or a file brought to stdout, at once; as it is, unless stdout is a terminal.
void print_untrusted(std::string_view text);

}  // namespace fathom
