// Text on its way into HTML.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// The text as HTML shows it, between tags and in quoted attributes: &, <, >, " and ' as entities; what is no UTF-8 and
// control characters as U+FFFD.
std::string html(std::string_view text);

}  // namespace fathom
