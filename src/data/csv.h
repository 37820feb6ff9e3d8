// Comma-separated values as spreadsheets and Python's csv module write them (RFC 4180).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Calls take(line, fields) for each record that is not an empty line; `line` is that of its beginning, from 1. A field
// in double quotes may hold commas, line breaks and "" for a quote. Throws FormatError of `path` where a quote has no
// end.
void for_each_csv_record(const std::string& path, std::string_view text,
                         const std::function<void(int64_t line, const std::vector<std::string>& fields)>& take);

}  // namespace fathom
