// tf.train.Example, the message in which TFDS stores a record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// The bytes of the feature `column`, which holds one value: a view into the message. Throws FormatError naming `where`
// when the message is no Example, has no such feature (naming those it has) or holds something else in it.
std::string_view example_text(std::string_view message, std::string_view column, const std::string& where);

// The numbers of the feature `column`.
std::vector<int64_t> example_numbers(std::string_view message, std::string_view column, const std::string& where);

}  // namespace fathom
