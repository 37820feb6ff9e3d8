// From a template's source to its tree.
#pragma once

#include <string>
#include <string_view>

#include "chat/ast.h"

namespace fathom::jinja {

// Throws FormatError with the line for what is no Jinja, and for a tag, filter, test or method that is not known.
Body parse(std::string_view source, const std::string& name);

}  // namespace fathom::jinja
