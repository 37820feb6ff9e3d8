// The parts of the table of filters.
#pragma once

#include <span>
#include <string>

#include "chat/builtins.h"

namespace fathom::jinja {

std::span<const FilterRow> text_filters();
std::span<const FilterRow> list_filters();

// A value's attribute as filters name it: "a.b" goes into a, "0" is an index.
Value attribute_of(Runtime& runtime, const Value& object, const Value& path);

}  // namespace fathom::jinja
